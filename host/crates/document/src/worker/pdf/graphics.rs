//! The drawings of a page: the areas of pictures, which may show text that is not in the text layer, and ruling lines, which
//! show the grid of a table exactly.

use std::ffi::c_ulong;

use lector_core::Rect;

use super::rules::Rules;
use super::space::{Matrix, PageSpace};
use crate::worker::library::Handle;
use crate::worker::library::Library;

/// `FPDF_PAGEOBJ_TEXT`.
pub(super) const TEXT: i32 = 1;
/// `FPDF_PAGEOBJ_PATH`.
const PATH: i32 = 2;
/// `FPDF_PAGEOBJ_IMAGE`.
const IMAGE: i32 = 3;
/// `FPDF_PAGEOBJ_FORM`: a form XObject, a drawing of its own placed on the page.
pub(super) const FORM: i32 = 5;
/// Smallest part of the page that a reported picture covers; a smaller one holds no relevant text.
const SHARE_MIN: f32 = 0.005;
/// Largest depth of nested form XObjects; more is an attack or a defect.
pub(super) const DEPTH_MAX: u32 = 8;
/// Largest number of objects examined. A page with more is reported as one picture, because any object may show text.
pub(super) const OBJECTS_MAX: u32 = 200_000;
/// Largest number of pictures reported; a page with more is reported as one picture (scans cut into strips have
/// hundreds, not thousands).
const PICTURES_MAX: usize = 4_096;

/// Returns the pictures and the ruling lines of a page, clipped to it, as displayed. Objects that are not active have none.
pub(super) fn of(library: Library, page: Handle, space: &PageSpace) -> (Vec<Rect>, Vec<Rect>) {
    let mut walk = Walk { library, space, looked_at: 0, found: Vec::new(), rules: Rules::default() };
    // SAFETY: the page is open.
    let count = unsafe { library.c.FPDFPage_CountObjects(page.cast()) };
    for index in 0..count {
        // SAFETY: the page is open and the index in range; the object is owned by the page.
        let object: Handle = unsafe { library.c.FPDFPage_GetObject(page.cast(), index) }.cast();
        walk.visit(object, Matrix::IDENTITY, 0);
        if walk.is_over() {
            let (width, height) = space.extent();
            return (vec![Rect { x: 0.0, y: 0.0, width, height }], Vec::new());
        }
    }
    (walk.found, walk.rules.joined(space))
}

struct Walk<'a> {
    library: Library,
    space: &'a PageSpace,
    looked_at: u32,
    found: Vec<Rect>,
    rules: Rules,
}

impl Walk<'_> {
    fn is_over(&self) -> bool {
        self.looked_at > OBJECTS_MAX || self.found.len() > PICTURES_MAX
    }

    fn visit(&mut self, object: Handle, outer: Matrix, depth: u32) {
        self.looked_at += 1;
        if object.is_null() || self.is_over() {
            return;
        }
        let mut active = 1;
        // SAFETY: the object belongs to an open page, here and below.
        unsafe { self.library.c.FPDFPageObj_GetIsActive(object.cast(), &raw mut active) };
        if active == 0 {
            return;
        }
        // SAFETY: as above.
        match unsafe { self.library.c.FPDFPageObj_GetType(object.cast()) } {
            IMAGE => self.add(self.matrix(object).then(outer)),
            PATH => {
                let placed = self.matrix(object).then(outer);
                self.rules.add(self.library, object, placed, self.space);
            }
            FORM if depth < DEPTH_MAX => {
                let inner = self.matrix(object).then(outer);
                // SAFETY: as above; it is a form.
                let count = unsafe { self.library.c.FPDFFormObj_CountObjects(object.cast()) };
                for index in 0..c_ulong::try_from(count).unwrap_or(0) {
                    // SAFETY: as above, and the index is in range.
                    let child: Handle =
                        unsafe { self.library.c.FPDFFormObj_GetObject(object.cast(), index) }.cast();
                    self.visit(child, inner, depth + 1);
                    if self.is_over() {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn matrix(&self, object: Handle) -> Matrix {
        let mut matrix = Matrix::default();
        // SAFETY: the object belongs to an open page, and Matrix has the layout of FS_MATRIX.
        let known = unsafe { self.library.c.FPDFPageObj_GetMatrix(object.cast(), (&raw mut matrix).cast()) };
        if known == 0 { Matrix::IDENTITY } else { matrix }
    }

    fn add(&mut self, placed: Matrix) {
        let (width, height) = self.space.extent();
        let area = self.space.rect(placed.unit_square());
        // Some programs draw lines as pictures.
        self.rules.add_thin(area);
        let area = self.space.clip(area);
        self.found.extend(area.filter(|a| a.width * a.height > SHARE_MIN * width * height));
    }
}
