//! Content that no viewer shows: optional content (layers) that is switched off.
//!
//! pdfium draws a page without it, but reports its text. Its interface does not tell whether a layer is on, so this module
//! asks the renderer: it draws the text of one layer or form XObject alone, and where nothing appears, deactivates the
//! objects. pdfium then leaves them out of the text. Pages whose text is in no layer and in no form XObject need no drawing.
//! Text in the invisible render mode, as OCR programs put it under a scan, is not judged here: the guest decides about it.

use std::collections::HashMap;
use std::ffi::{c_int, c_ulong};

use super::graphics;
use super::space::PageSpace;
use super::text::{MODE_CLIP, MODE_INVISIBLE};
use crate::worker::library::{FORMAT_BGR, Handle, Library};

/// Longer side of a drawing, in pixels: letters of any size leave a trace.
const SIDE_PX: f32 = 1000.0;
/// Largest number of groups that are drawn one by one. The groups beyond it are one: shown if any of them is.
const GROUPS_MAX: usize = 128;
/// Longest name of a layer, in bytes of UTF-16, that layers are told apart by.
const NAME_BYTES_MAX: usize = 512;
/// `FPDF_REVERSE_BYTE_ORDER`.
const FLAGS: c_int = 0x10;
/// A color that nothing on a page has.
const GROUND: [u8; 3] = [201, 57, 143];

/// Deactivates the objects of the page whose layer is off.
pub(super) fn deactivate_hidden(library: Library, page: Handle, space: &PageSpace) {
    let mut walk = Walk { library, looked_at: 0, forms: 0, leaves: Vec::new(), groups: HashMap::new() };
    // SAFETY: the page is open, and owns all objects below.
    let count = unsafe { library.c.FPDFPage_CountObjects(page.cast()) };
    for index in 0..count {
        // SAFETY: the index is in range.
        let object: Handle = unsafe { library.c.FPDFPage_GetObject(page.cast(), index) }.cast();
        walk.visit(object, &Key::default(), 0);
    }
    let doubtful: Vec<&Group> = walk.groups.values().filter(|group| !group.text.is_empty()).collect();
    if walk.looked_at > graphics::OBJECTS_MAX || doubtful.is_empty() {
        return;
    }
    let mut canvas = Canvas::of(space);
    set_active(library, &walk.leaves, false);
    let is_hidden = |group: &&&Group| {
        set_active(library, &group.text, true);
        let shown = canvas.shows(library, page);
        set_active(library, &group.text, false);
        !shown
    };
    let hidden: Vec<&&Group> = doubtful.iter().filter(is_hidden).collect();
    set_active(library, &walk.leaves, true);
    for group in hidden {
        set_active(library, &group.all, false);
    }
}

fn set_active(library: Library, objects: &[Handle], active: bool) {
    for object in objects {
        // SAFETY: the object belongs to an open page.
        unsafe { library.c.FPDFPageObj_SetIsActive(object.cast(), c_int::from(active)) };
    }
}

/// What objects are shown or hidden together by: the form XObject (0: the page itself) and the layer.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Key {
    form: u32,
    layer: Option<Layer>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Layer {
    /// By the name of its group.
    Named(Vec<u16>),
    /// A group of groups, which has no name: by the marked content that refers to it.
    Mark(usize),
}

/// Objects of one key.
#[derive(Default)]
struct Group {
    all: Vec<Handle>,
    /// Text that is drawn.
    text: Vec<Handle>,
}

struct Walk {
    library: Library,
    looked_at: u32,
    forms: u32,
    /// All objects but form XObjects.
    leaves: Vec<Handle>,
    groups: HashMap<Key, Group>,
}

impl Walk {
    fn visit(&mut self, object: Handle, outer: &Key, depth: u32) {
        self.looked_at = self.looked_at.saturating_add(1);
        if object.is_null() || self.looked_at > graphics::OBJECTS_MAX {
            return;
        }
        let layer = self.layer(object).or_else(|| outer.layer.clone());
        // SAFETY: the object belongs to an open page.
        let kind = unsafe { self.library.c.FPDFPageObj_GetType(object.cast()) };
        if kind == graphics::FORM {
            if depth >= graphics::DEPTH_MAX {
                return;
            }
            self.forms += 1;
            let key = Key { form: self.forms, layer };
            // SAFETY: as above; it is a form.
            let count = unsafe { self.library.c.FPDFFormObj_CountObjects(object.cast()) };
            for index in 0..c_ulong::try_from(count).unwrap_or(0) {
                // SAFETY: as above, and the index is in range.
                let child = unsafe { self.library.c.FPDFFormObj_GetObject(object.cast(), index) }.cast();
                self.visit(child, &key, depth + 1);
            }
            return;
        }
        self.leaves.push(object);
        let mut key = Key { form: outer.form, layer };
        if key == Key::default() {
            return;
        }
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            key = Key { form: u32::MAX, layer: None };
        }
        let is_drawn = kind == graphics::TEXT && {
            // SAFETY: as above; it is a text object.
            let mode = unsafe { self.library.c.FPDFTextObj_GetTextRenderMode(object.cast()) };
            mode != MODE_INVISIBLE && mode != MODE_CLIP
        };
        let group = self.groups.entry(key).or_default();
        group.all.push(object);
        if is_drawn {
            group.text.push(object);
        }
    }

    /// Returns the innermost layer that the object is marked with.
    fn layer(&self, object: Handle) -> Option<Layer> {
        let c = self.library.c;
        // SAFETY: the object belongs to an open page.
        let count = unsafe { c.FPDFPageObj_CountMarks(object.cast()) };
        for index in (0..c_ulong::try_from(count).unwrap_or(0)).rev() {
            // SAFETY: as above, and the index is in range.
            let mark: Handle = unsafe { c.FPDFPageObj_GetMark(object.cast(), index) }.cast();
            let name = string(|buffer, room, length| {
                // SAFETY: the mark belongs to the object, and `room` is the size of `buffer`.
                unsafe { c.FPDFPageObjMark_GetName(mark.cast(), buffer.cast(), room, length) }
            });
            // "OC"
            if name.as_deref() != Some(&[0x4f, 0x43]) {
                continue;
            }
            let name = string(|buffer, room, length| {
                // SAFETY: as above.
                unsafe {
                    c.FPDFPageObjMark_GetParamStringValue(mark.cast(), "Name", buffer.cast(), room, length)
                }
            });
            return Some(match name.filter(|name| !name.is_empty()) {
                Some(name) => Layer::Named(name),
                None => Layer::Mark(mark.addr()),
            });
        }
        None
    }
}

/// Reads a string in UTF-16 without its end; `None` where there is none, or it is too long.
fn string(read: impl Fn(*mut u16, c_ulong, *mut c_ulong) -> c_int) -> Option<Vec<u16>> {
    let mut units = [0_u16; NAME_BYTES_MAX / 2];
    let mut length: c_ulong = 0;
    let known = read(units.as_mut_ptr(), NAME_BYTES_MAX as c_ulong, &raw mut length);
    let length = usize::try_from(length).ok().filter(|length| *length <= NAME_BYTES_MAX && known != 0)?;
    Some(units.get(..(length / 2).saturating_sub(1))?.to_vec())
}

/// A small drawing of the page.
struct Canvas {
    width: c_int,
    height: c_int,
    rgb: Vec<u8>,
}

impl Canvas {
    fn of(space: &PageSpace) -> Self {
        let (width, height) = space.extent();
        let scale = (SIDE_PX / width.max(height).max(1.0)).min(1.0);
        let side = |points: f32| ((points * scale).ceil() as usize).clamp(1, SIDE_PX as usize);
        let (width, height) = (side(width), side(height));
        let rgb = vec![0; width * height * 3];
        Self { width: width as c_int, height: height as c_int, rgb }
    }

    /// Returns whether the active objects of the page leave a trace.
    fn shows(&mut self, library: Library, page: Handle) -> bool {
        for pixel in self.rgb.as_chunks_mut::<3>().0 {
            *pixel = GROUND;
        }
        let (width, height) = (self.width, self.height);
        let first = self.rgb.as_mut_ptr().cast();
        // SAFETY: `rgb` holds height rows of width pixels of three bytes, and outlives the bitmap.
        let bitmap: Handle =
            unsafe { library.c.FPDFBitmap_CreateEx(width, height, FORMAT_BGR, first, width * 3) }.cast();
        if bitmap.is_null() {
            return true;
        }
        // SAFETY: bitmap and page are open.
        unsafe {
            library.c.FPDF_RenderPageBitmap(bitmap.cast(), page.cast(), 0, 0, width, height, 0, FLAGS);
            library.c.FPDFBitmap_Destroy(bitmap.cast());
        }
        self.rgb.as_chunks::<3>().0.iter().any(|pixel| *pixel != GROUND)
    }
}
