//! Converts bytes to values, for targets that take structures and not text; missing bytes are zero.

/// Reads values from bytes.
#[derive(Debug)]
pub struct Feed<'a>(&'a [u8]);

impl<'a> Feed<'a> {
    /// Returns a feed of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the next `N` bytes, with zeros after the end.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (head, tail) = self.0.split_at(N.min(self.0.len()));
        out.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        self.0 = tail;
        out
    }

    /// Returns a byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.bytes();
        byte
    }

    /// Returns a number below `end`, which is 1 or more.
    pub fn below(&mut self, end: usize) -> usize {
        u16::from_le_bytes(self.bytes()) as usize % end
    }

    /// Returns any 32-bit float, including infinities and NaN.
    pub fn float(&mut self) -> f32 {
        f32::from_le_bytes(self.bytes())
    }

    /// Returns a text of fewer than `end` bytes; invalid UTF-8 becomes replacement characters.
    pub fn text(&mut self, end: usize) -> String {
        let length = self.below(end);
        let (head, tail) = self.0.split_at(length.min(self.0.len()));
        self.0 = tail;
        String::from_utf8_lossy(head).into_owned()
    }

    /// Returns fewer than `end` values, and no more than there are bytes for.
    pub fn list<T>(&mut self, end: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        for _ in 0..self.below(end) {
            if self.0.is_empty() {
                break;
            }
            items.push(one(self));
        }
        items
    }
}
