//! Bytes as a source of values, for targets that take structures and not text: what is not there is zero.

/// Reads values off some bytes.
#[derive(Debug)]
pub struct Feed<'a>(&'a [u8]);

impl<'a> Feed<'a> {
    /// A feed of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes, zeros where there are no more.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (head, tail) = self.0.split_at(N.min(self.0.len()));
        out.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        self.0 = tail;
        out
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.bytes();
        byte
    }

    /// A number below `end`, which is 1 or more.
    pub fn below(&mut self, end: usize) -> usize {
        u16::from_le_bytes(self.bytes()) as usize % end
    }

    /// Any 32-bit float: infinities and what is no number are among them.
    pub fn float(&mut self) -> f32 {
        f32::from_le_bytes(self.bytes())
    }

    /// A text of fewer than `end` bytes; what is no UTF-8 becomes replacement characters.
    pub fn text(&mut self, end: usize) -> String {
        let length = self.below(end);
        let (head, tail) = self.0.split_at(length.min(self.0.len()));
        self.0 = tail;
        String::from_utf8_lossy(head).into_owned()
    }

    /// Fewer than `end` values; no more than there are bytes for.
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
