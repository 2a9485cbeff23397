//! Invisible text in a PDF, as an incremental update (ISO 32000-1, 7.5.6).
//!
//! The bytes of the file stay, and what is new follows them: so pages, links, outlines and forms are what they were, and
//! the bytes that a signature covers are the same. New versions are written of the page objects that get text, and of
//! the dictionaries that name their fonts. The text precedes the content of its page, where the graphics state is that
//! of ISO 32000, whatever the content leaves behind; invisible text has no place in the painting order.

use std::io::Write;

use lopdf::{Dictionary, Document, IncrementalDocument, LoadOptions, Object, ObjectId};

use super::archival;
use super::glyphs::{Glyphs, add, compressed, full};
use super::text::FONT_RESOURCE;
use crate::faults::Refusal;

/// Most bytes of one stream that describes objects or the cross-reference table.
const STREAM_BYTES_MAX: usize = 128 << 20;
/// Most nodes of the page tree above a page.
const ANCESTORS_MAX: usize = 64;
/// Most references in a chain to one object.
const REFERENCES_MAX: usize = 16;

/// A PDF to which text is added.
pub(super) struct Append {
    /// Bytes before the header, from which the offsets of the file count.
    junk: Vec<u8>,
    file: IncrementalDocument,
    pages: Vec<ObjectId>,
    /// The font object, once a page has text.
    font: Option<ObjectId>,
    /// Whether there is something new even without text.
    is_changed: bool,
}

/// Reason why a PDF gets no update as it is.
pub(super) enum Unsuitable {
    /// Its structure is damaged: pdfium reads it, and can write it anew.
    Damaged(String),
    Encrypted(String),
}

impl Append {
    /// Reads the structure of a PDF that pdfium says to have `pages` pages.
    pub(super) fn of(bytes: &[u8], password: Option<&str>, pages: u32) -> Result<Self, Unsuitable> {
        let start = bytes.windows(5).position(|window| window == b"%PDF-").unwrap_or(0);
        let (junk, bytes) = bytes.split_at(start);
        let options = LoadOptions {
            password: password.map(str::to_owned),
            max_decompressed_size: Some(STREAM_BYTES_MAX),
            ..LoadOptions::default()
        };
        let damaged = |reason: String| Err(Unsuitable::Damaged(reason));
        let file = match Document::load_mem_with_options(bytes, options) {
            Ok(file) => file,
            Err(error) => return damaged(error.to_string()),
        };
        // A password that opens the file removes the entry here, and the update writes it again.
        if file.trailer.has(b"Encrypt") {
            return Err(Unsuitable::Encrypted("its encryption is not supported".into()));
        }
        if file.xref_recovery.is_some() || file.xref_start == 0 {
            return damaged("its cross-reference table is wrong".into());
        }
        let found: Vec<ObjectId> = file.page_iter().collect();
        if found.len() != pages as usize {
            return damaged(format!("its page tree has {} pages, not {pages}", found.len()));
        }
        let mut file = IncrementalDocument::create_from(bytes.to_vec(), file);
        // Entries of the former table that describe it and not the document.
        for entry in [&b"XRefStm"[..], b"DecodeParms", b"W", b"Index", b"Length", b"Filter", b"Type"] {
            file.new_document.trailer.remove(entry);
        }
        Ok(Self { junk: junk.to_vec(), file, pages: found, font: None, is_changed: false })
    }

    /// Adds what PDF/A-2b needs; refuses a file that has what it forbids.
    pub(super) fn conform(&mut self, is_encrypted: bool) -> Result<(), Refusal> {
        let bytes = self.file.get_prev_documents_bytes();
        let mut reasons = archival::obstacles(bytes, self.file.get_prev_documents());
        if is_encrypted {
            reasons.insert("it is encrypted".to_owned());
        }
        if !self.junk.is_empty() {
            reasons.insert("it does not begin with its header".to_owned());
        }
        if let Some(refusal) = archival::refusal(&reasons) {
            return Err(refusal);
        }
        let identifier = archival::identifier(bytes);
        let root = self.file.get_prev_documents().trailer.get(b"Root").and_then(Object::as_reference);
        let root = root.map_err(|_| unsuitable("its catalog is missing"))?;
        let title = self.title();
        let entries = archival::entries(&mut self.file.new_document, title.as_deref())?;
        let catalog = self.edit(root)?;
        for (entry, object) in entries {
            catalog.set(entry, object);
        }
        let trailer = &mut self.file.new_document.trailer;
        if !trailer.has(b"ID") {
            trailer.set("ID", identifier);
        }
        self.is_changed = true;
        Ok(())
    }

    /// Returns the title of the document information.
    fn title(&self) -> Option<String> {
        let info = self.file.get_prev_documents().trailer.get(b"Info").ok()?;
        let (_, info) = self.resolve(info)?;
        let title = info.as_dict().ok()?.get(b"Title").ok()?;
        let (_, title) = self.resolve(title)?;
        lopdf::decode_text_string(title).ok().filter(|title| !title.trim().is_empty())
    }

    /// Returns the name by which a page can use the font of the invisible text.
    pub(super) fn font_name(&self, index: u32) -> Result<String, Refusal> {
        let page = self.page(index)?;
        let fonts = self.resources(page).and_then(|place| self.fonts_of(place));
        let own = |name: &str| match fonts.and_then(|fonts| fonts.get(name.as_bytes()).ok()) {
            None => true,
            Some(object) => self.font.is_some_and(|font| object.as_reference().is_ok_and(|id| id == font)),
        };
        let names =
            (0..).map(|n| if n == 0 { FONT_RESOURCE.to_owned() } else { format!("{FONT_RESOURCE}{n}") });
        // A dictionary has fewer entries than there are names.
        names
            .take(usize::from(u16::MAX))
            .find(|name| own(name))
            .ok_or_else(|| unsuitable("its fonts cannot be named"))
    }

    /// Adds a content stream to a page; it uses the font by the name that [`Append::font_name`] returned.
    pub(super) fn add(&mut self, index: u32, content: Vec<u8>, font_name: &str) -> Result<(), Refusal> {
        let page = self.page(index)?;
        let font = match self.font {
            Some(font) => font,
            None => *self.font.insert(self.file.new_document.try_new_object_id().map_err(full)?),
        };
        let stream = add(&mut self.file.new_document, compressed(Dictionary::new(), content)?)?;
        let mut contents = vec![Object::Reference(stream)];
        contents.extend(self.contents(page));
        self.name_font(page, font_name, font)?;
        self.edit(page)?.set("Contents", contents);
        Ok(())
    }

    /// Writes the whole file.
    pub(super) fn write(mut self, glyphs: &Glyphs, out: &mut impl Write) -> Result<(), Refusal> {
        let written = match self.font {
            None if !self.is_changed => {
                out.write_all(&self.junk).and_then(|()| out.write_all(self.file.get_prev_documents_bytes()))
            }
            font => {
                if let Some(font) = font {
                    glyphs.write(&mut self.file.new_document, font)?;
                }
                out.write_all(&self.junk).and_then(|()| self.file.save_to(out))
            }
        };
        written.map_err(|error| Refusal::MemoryExceeded { detail: format!("writing the file: {error}") })
    }

    fn page(&self, index: u32) -> Result<ObjectId, Refusal> {
        let page = usize::try_from(index).ok().and_then(|at| self.pages.get(at)).copied();
        page.ok_or(Refusal::PageOutOfRange {
            index,
            pages: u32::try_from(self.pages.len()).unwrap_or(u32::MAX),
        })
    }

    /// Returns the newest version of an object.
    fn object(&self, id: ObjectId) -> Option<&Object> {
        let new = self.file.new_document.objects.get(&id);
        new.or_else(|| self.file.get_prev_documents().objects.get(&id))
    }

    fn dictionary(&self, id: ObjectId) -> Option<&Dictionary> {
        self.object(id).and_then(|object| object.as_dict().ok())
    }

    /// Returns the object at the end of a chain of references, with its number if it has one.
    fn resolve<'a>(&'a self, object: &'a Object) -> Option<(Option<ObjectId>, &'a Object)> {
        let (mut id, mut object) = (None, object);
        for _ in 0..REFERENCES_MAX {
            let Object::Reference(next) = object else { return Some((id, object)) };
            (id, object) = (Some(*next), self.object(*next)?);
        }
        None
    }

    /// Returns a dictionary of the update; copies its former version to it first.
    fn edit(&mut self, id: ObjectId) -> Result<&mut Dictionary, Refusal> {
        let damaged = |error: lopdf::Error| unsuitable(&format!("an object of a page is damaged: {error}"));
        self.file.opt_clone_object_to_new_document(id).map_err(damaged)?;
        self.file.new_document.get_dictionary_mut(id).map_err(damaged)
    }

    /// Returns the content streams of a page.
    fn contents(&self, page: ObjectId) -> Vec<Object> {
        let contents = self.dictionary(page).and_then(|page| page.get(b"Contents").ok());
        let Some(contents) = contents else { return Vec::new() };
        match self.resolve(contents) {
            Some((Some(id), Object::Stream(_))) => vec![Object::Reference(id)],
            Some((_, Object::Array(streams))) => streams.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns the place of the resources of a page: its own, or those that it inherits.
    fn resources(&self, page: ObjectId) -> Option<Resources> {
        let mut node = page;
        for _ in 0..ANCESTORS_MAX {
            let dictionary = self.dictionary(node)?;
            match dictionary.get(b"Resources").ok().and_then(|object| self.resolve(object)) {
                Some((Some(id), Object::Dictionary(_))) => return Some(Resources::Object(id)),
                Some((None, Object::Dictionary(_))) => return Some(Resources::In(node)),
                _ => node = dictionary.get(b"Parent").ok()?.as_reference().ok()?,
            }
        }
        None
    }

    fn resources_at(&self, place: Resources) -> Option<&Dictionary> {
        match place {
            Resources::Object(id) => self.dictionary(id),
            Resources::In(node) => self.dictionary(node)?.get(b"Resources").ok()?.as_dict().ok(),
        }
    }

    fn fonts_of(&self, place: Resources) -> Option<&Dictionary> {
        let fonts = self.resources_at(place)?.get(b"Font").ok()?;
        self.resolve(fonts).and_then(|(_, object)| object.as_dict().ok())
    }

    /// Adds the font to the resources of a page. A dictionary that is an object of its own, and so perhaps shared by
    /// many pages, gets the name once.
    fn name_font(&mut self, page: ObjectId, name: &str, font: ObjectId) -> Result<(), Refusal> {
        let place = self.resources(page);
        let fonts =
            place.and_then(|place| self.resources_at(place)).and_then(|found| found.get(b"Font").ok());
        let shared = fonts
            .and_then(|fonts| self.resolve(fonts))
            .and_then(|(id, object)| id.filter(|_| object.as_dict().is_ok()));
        if let Some(shared) = shared {
            if !self.dictionary(shared).is_some_and(|fonts| fonts.has(name.as_bytes())) {
                self.edit(shared)?.set(name, font);
            }
            return Ok(());
        }
        let mut fonts = place.and_then(|place| self.fonts_of(place)).cloned().unwrap_or_default();
        if fonts.has(name.as_bytes()) {
            return Ok(());
        }
        fonts.set(name, font);
        match place {
            Some(Resources::Object(id)) => self.edit(id)?.set("Font", fonts),
            place => {
                // Inherited resources are copied to the page; the other pages below the same node may get none.
                let found = place.and_then(|place| self.resources_at(place));
                let mut resources = found.cloned().unwrap_or_default();
                resources.set("Font", fonts);
                self.edit(page)?.set("Resources", resources);
            }
        }
        Ok(())
    }
}

/// Place of a dictionary of resources.
#[derive(Clone, Copy)]
enum Resources {
    /// An object of its own.
    Object(ObjectId),
    /// An entry of a page, or of a node of the page tree.
    In(ObjectId),
}

fn unsuitable(reason: &str) -> Refusal {
    Refusal::NotComposable { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
