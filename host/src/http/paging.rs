//! Pages of lists: `limit`, an opaque `cursor`, and `next` in the body.
//!
//! A cursor holds the sort key of the last item of a page, so that a page continues at the right place although items
//! were added or deleted in between. Keys are unique within a list.

#[cfg(test)]
mod fuzz;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lector_core::Fault;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::option_invalid;

/// Maximum number of items of a page.
pub(super) const LIMIT_MAX: u32 = 1000;
/// Number of items of a page if the request names none.
pub(super) const LIMIT_DEFAULT: u32 = 100;
/// Maximum length of a cursor in bytes.
pub(super) const CURSOR_BYTES_MAX: usize = 512;

/// The options of a list.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PageOptions {
    limit: u32,
    cursor: Option<String>,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self { limit: LIMIT_DEFAULT, cursor: None }
    }
}

impl PageOptions {
    pub(super) fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit: limit.unwrap_or(LIMIT_DEFAULT), cursor }
    }

    /// Returns the number of items of a page. Fault: `option_invalid`.
    pub(super) fn limit(&self) -> Result<u32, Fault> {
        if (1..=LIMIT_MAX).contains(&self.limit) {
            return Ok(self.limit);
        }
        Err(option_invalid(format!("`limit` is {}: use 1 to {LIMIT_MAX}.", self.limit)))
    }

    /// Returns the key of the item before the page. Fault: `option_invalid`.
    pub(super) fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Fault> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let key = Some(cursor)
            .filter(|cursor| cursor.len() <= CURSOR_BYTES_MAX)
            .and_then(|cursor| BASE64_URL_SAFE_NO_PAD.decode(cursor).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        key.map(Some).ok_or_else(|| {
            option_invalid("`cursor` is invalid: send the `next` of the previous page of the same list.")
        })
    }

    /// Returns the page of `items`, which are in ascending order of `key`, and the cursor of the next page.
    pub(super) fn page<T, K>(
        &self,
        mut items: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<(Vec<T>, Option<String>), Fault>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        let limit = self.limit()? as usize;
        if let Some(after) = self.after::<K>()? {
            items.drain(..items.partition_point(|item| key(item) <= after));
        }
        let next = match items.get(limit.saturating_sub(1)) {
            Some(last) if items.len() > limit => Some(cursor(&key(last))),
            _ => None,
        };
        items.truncate(limit);
        Ok((items, next))
    }
}

/// Returns the cursor of the page after the item with that key.
pub(super) fn cursor<K: Serialize>(key: &K) -> String {
    // Keys are numbers, strings and tuples of them, which always serialize.
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn options(limit: u32, cursor: Option<String>) -> PageOptions {
        PageOptions { limit, cursor }
    }

    #[test]
    fn pages_hold_every_item_once() {
        let items: Vec<(String, u32)> = (0..25).map(|n| (format!("tenant-{}", n / 10), n)).collect();
        for limit in [1, 7, 24, 25, 26, LIMIT_MAX] {
            let (mut all, mut next, mut pages) = (Vec::new(), None, 0);
            loop {
                let (page, more) = options(limit, next).page(items.clone(), Clone::clone).unwrap();
                assert!(!page.is_empty() && page.len() <= limit as usize);
                all.extend(page);
                (next, pages) = (more, pages + 1);
                if next.is_none() {
                    break;
                }
            }
            assert_eq!((all, pages), (items.clone(), 25_u32.div_ceil(limit)));
        }
    }

    #[test]
    fn a_page_continues_although_its_last_item_was_deleted() {
        let (first, next) =
            options(2, None).page(vec!["a", "c", "e", "g"], |item| (*item).to_owned()).unwrap();
        assert_eq!(first, ["a", "c"]);
        let (second, _) = options(2, next).page(vec!["a", "b", "d", "e"], |item| (*item).to_owned()).unwrap();
        assert_eq!(second, ["d", "e"]);
    }

    #[test]
    fn bounds_and_foreign_cursors_are_faults() {
        for limit in [0, LIMIT_MAX + 1] {
            assert_eq!(options(limit, None).limit().unwrap_err().code, "option_invalid");
        }
        for bad in ["", "!", "e30", &cursor(&7), &"A".repeat(CURSOR_BYTES_MAX + 1)] {
            let fault = options(10, Some(bad.to_owned())).after::<String>().unwrap_err();
            assert_eq!(fault.code, "option_invalid", "{bad}");
        }
    }
}
