//! Creates new inputs from old ones with seeded mutations known from other fuzzers (AFL's havoc).

/// Boundary values for parsers, as 64 bits.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
    u64::MAX - 7,
];
/// Maximum number of stacked mutations.
const STACKED_MAX: usize = 6;
/// Maximum size of a piece that is moved, doubled or removed.
const PIECE_BYTES_MAX: usize = 64;

pub struct Breeder<'a> {
    random: fastrand::Rng,
    words: &'a [&'a [u8]],
}

impl<'a> Breeder<'a> {
    pub fn new(seed: u64, words: &'a [&'a [u8]]) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), words }
    }

    /// Returns the next input, at most `bytes_max` long.
    pub fn input(&mut self, pool: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        let mut input = self.random.choice(pool).cloned().unwrap_or_default();
        for _ in 0..self.random.usize(1..=STACKED_MAX) {
            self.mutate(&mut input, pool);
        }
        input.truncate(bytes_max);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.random.usize(0..=input.len());
        let (from, to) = self.piece(input.len());
        match self.random.u8(0..11) {
            0 => {
                let bit = 1 << self.random.u8(0..8);
                input.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
            }
            1 => {
                let new = self.random.u8(..);
                input.get_mut(at).into_iter().for_each(|byte| *byte = new);
            }
            2 => drop(input.drain(from..to)),
            3 => {
                let piece = input.get(from..to).unwrap_or_default().to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let length = self.random.usize(1..=16);
                let noise: Vec<u8> = (0..length).map(|_| self.random.u8(..)).collect();
                input.splice(at..at, noise);
            }
            5 => input.truncate(at),
            6 => {
                // Appends the end of another input to the beginning of this one.
                if let Some(other) = self.random.choice(pool) {
                    let tail = other.get(self.random.usize(0..=other.len())..).unwrap_or_default();
                    input.truncate(at);
                    input.extend_from_slice(tail);
                }
            }
            7 | 8 => {
                let word = self.random.choice(self.words).copied().unwrap_or(b"\0");
                // Overwrites or inserts.
                let end = if self.random.bool() { at } else { input.len().min(at + word.len()) };
                input.splice(at..end, word.iter().copied());
            }
            _ => {
                let number = self.random.choice(NUMBERS).unwrap_or(0);
                let width = [1, 2, 4, 8].get(self.random.usize(0..4)).copied().unwrap_or(1);
                let bytes = number.to_le_bytes();
                let mut bytes = bytes.get(..width).unwrap_or_default().to_vec();
                if self.random.bool() {
                    bytes.reverse();
                }
                let end = input.len().min(at + width);
                input.splice(at..end, bytes);
            }
        }
    }

    fn piece(&mut self, length: usize) -> (usize, usize) {
        let from = self.random.usize(0..=length);
        let to = length.min(from + self.random.usize(1..=PIECE_BYTES_MAX));
        (from, to)
    }
}
