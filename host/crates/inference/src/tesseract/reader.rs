//! libtesseract with the data of its languages, reading one line at a time, or with the data of script detection, naming the
//! script of a part of a page. Lives in a worker process.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr::{NonNull, null, null_mut};

use super::api::{self, Api, BaseApi, ResultIterator};
use super::installed::{DATA, LIBRARY, SCRIPT_DETECTION};
use super::wire::{Reading, Word};

/// Dots per inch that libtesseract is told; lines come at the resolution at which pages are read, about this.
const RESOLUTION: c_int = 200;

/// The library, initialized for its languages.
pub(super) struct Reader {
    api: Api,
    base: NonNull<BaseApi>,
    detects_script: bool,
}

/// Score of script detection that becomes the confidence 1.
const SCORE_MAX: f32 = 100.0;

impl Reader {
    /// Loads the library and the data of `languages` (`rus+eng`) from `dir`.
    pub(super) fn open(dir: &Path, languages: &str) -> Result<Self, String> {
        let api = api::load(&dir.join(LIBRARY))?;
        let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let data = text(dir.join(DATA).to_str().ok_or("the folder's name is not UTF-8")?)?;
        let names = text(languages)?;
        // SAFETY: the library is loaded; an API that is made is deleted on drop.
        let base = NonNull::new(unsafe { (api.create)() }).ok_or("libtesseract makes no API")?;
        let detects_script = languages == SCRIPT_DETECTION;
        let reader = Self { api, base, detects_script };
        let (engine, mode) = if detects_script {
            (api::TESSERACT_ONLY, api::SCRIPT_ONLY)
        } else {
            (api::LSTM_ONLY, api::SINGLE_LINE)
        };
        // SAFETY: the pointers are C strings that live through the call.
        let failed = unsafe { (reader.api.init)(reader.ptr(), data.as_ptr(), names.as_ptr(), engine) };
        if failed != 0 {
            return Err(format!("libtesseract cannot load the data of {languages}"));
        }
        // SAFETY: constant C strings; the API is alive.
        unsafe {
            (reader.api.set_variable)(reader.ptr(), c"debug_file".as_ptr(), c"/dev/null".as_ptr());
            (reader.api.set_mode)(reader.ptr(), mode);
        }
        Ok(reader)
    }

    fn ptr(&self) -> *mut BaseApi {
        self.base.as_ptr()
    }

    /// Reads a line of gray pixels. `None`: the extents do not fit the pixels, or libtesseract gives up.
    pub(super) fn read(&mut self, gray: &[u8], width: usize, height: usize) -> Option<Reading> {
        if width == 0 || height == 0 || width.checked_mul(height)? != gray.len() {
            return None;
        }
        let (width, height) = (c_int::try_from(width).ok()?, c_int::try_from(height).ok()?);
        // SAFETY: `gray` has `height` rows of `width` bytes and lives until `clear`.
        unsafe {
            (self.api.set_image)(self.ptr(), gray.as_ptr(), width, height, 1, width);
            (self.api.set_resolution)(self.ptr(), RESOLUTION);
        }
        let reading = if self.detects_script {
            Some(self.script([0, 0, width, height]))
        } else {
            // SAFETY: the API has an image.
            let failed = unsafe { (self.api.recognize)(self.ptr(), null_mut()) };
            (failed == 0).then(|| self.result())
        };
        // SAFETY: the API is alive, and no iterator is.
        unsafe { (self.api.clear)(self.ptr()) };
        reading
    }

    /// Returns the name of the script as the one word of the picture, its confidence the score divided by [`SCORE_MAX`];
    /// nothing where the picture has too few letters.
    fn script(&self, area: [i32; 4]) -> Reading {
        let (mut degrees, mut certainty, mut name, mut score) = (0, 0.0, null(), 0.0);
        // SAFETY: the API has an image, and the pointers are valid.
        let is_found = unsafe {
            (self.api.detect_script)(self.ptr(), &mut degrees, &mut certainty, &mut name, &mut score)
        };
        if is_found == 0 || name.is_null() {
            return Reading::default();
        }
        // SAFETY: a C string that the library keeps with its data.
        let text = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        let confidence = (score / SCORE_MAX).clamp(0.0, 1.0);
        Reading { lines: vec![text.clone()], words: vec![Word { text, confidence, area }] }
    }

    /// Returns what was recognized: words in reading order, which for right-to-left text is the logical order.
    fn result(&self) -> Reading {
        let mut reading = Reading::default();
        // SAFETY: recognition has ended; the iterator is deleted below and used only before.
        let Some(iterator) = NonNull::new(unsafe { (self.api.iterator)(self.ptr()) }) else { return reading };
        let at = iterator.as_ptr();
        loop {
            // SAFETY: the iterator is alive, the page iterator is a view of it.
            let begins = unsafe { (self.api.begins)((self.api.iterator_page)(at), api::TEXTLINE) } != 0;
            if begins && let Some(text) = self.text(at, api::TEXTLINE) {
                reading.lines.push(text.trim().to_owned());
            }
            reading.words.extend(self.word(at));
            // SAFETY: the iterator is alive.
            if unsafe { (self.api.iterator_next)(at, api::WORD) } == 0 {
                break;
            }
        }
        // SAFETY: made above, deleted once.
        unsafe { (self.api.iterator_delete)(at) };
        reading
    }

    fn word(&self, at: *mut ResultIterator) -> Option<Word> {
        let text = self.text(at, api::WORD)?.trim().to_owned();
        let [mut left, mut top, mut right, mut bottom] = [0; 4];
        // SAFETY: the iterator is alive and the pointers are valid.
        let (is_there, confidence) = unsafe {
            let page = (self.api.iterator_page)(at);
            let is_there =
                (self.api.bounding_box)(page, api::WORD, &mut left, &mut top, &mut right, &mut bottom);
            (is_there != 0, (self.api.iterator_confidence)(at, api::WORD))
        };
        (is_there && !text.is_empty()).then(|| Word {
            text,
            confidence: (confidence / 100.0).clamp(0.0, 1.0),
            area: [left, top, right, bottom],
        })
    }

    fn text(&self, at: *mut ResultIterator, level: c_int) -> Option<String> {
        // SAFETY: the iterator is alive; the text is copied and freed once.
        let text: *mut c_char = unsafe { (self.api.iterator_text)(at, level) };
        let owned = NonNull::new(text).map(|text| {
            // SAFETY: not null, ends with a zero byte.
            unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned()
        })?;
        // SAFETY: the library made it and expects it back.
        unsafe { (self.api.delete_text)(text) };
        Some(owned)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: made by `open`, deleted once.
        unsafe { (self.api.delete)(self.ptr()) };
    }
}
