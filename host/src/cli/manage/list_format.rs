//! Lists as CSV and as lines of JSON, for programs that read them.

use serde_json::Value;

/// The form of a printed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ListFormat {
    /// The response.
    Json,
    /// A line with the names of the members, and one for each item.
    Csv,
    /// One item a line.
    Ndjson,
}

impl ListFormat {
    /// Formats a response that contains one list. Rows that the server could not read are not part of it; the caller
    /// reports them.
    pub(super) fn text(self, response: &Value) -> String {
        let items = || {
            let members = response.as_object().into_iter().flatten();
            let lists =
                members.filter(|(name, _)| *name != "damaged").filter_map(|(_, value)| value.as_array());
            lists.flatten()
        };
        match self {
            Self::Json => format!("{response:#}\n"),
            Self::Ndjson => items().map(|item| format!("{item}\n")).collect(),
            Self::Csv => {
                let Some(first) = items().next().and_then(Value::as_object) else { return String::new() };
                let names: Vec<&str> = first.keys().map(String::as_str).collect();
                let row = |item: &Value| {
                    let fields: Vec<String> = names.iter().map(|name| field(&item[*name])).collect();
                    fields.join(",") + "\n"
                };
                names.join(",") + "\n" + &items().map(row).collect::<String>()
            }
        }
    }
}

/// Formats a field (RFC 4180).
fn field(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_printed_for_programs() {
        let list = json!({
            "usage": [{ "tenant": "a", "day": "2026-01-01", "pages_ok": 3 }, { "tenant": "b,\"c\"", "day": null, "pages_ok": 0 }],
            "next": null,
            "damaged": [{ "table": "usage" }],
        });
        assert_eq!(ListFormat::Csv.text(&list), "tenant,day,pages_ok\na,2026-01-01,3\n\"b,\"\"c\"\"\",,0\n");
        let lines = ListFormat::Ndjson.text(&list);
        assert_eq!(lines.lines().count(), 2);
        assert_eq!(serde_json::from_str::<Value>(lines.lines().next().unwrap()).unwrap(), list["usage"][0]);
        assert_eq!(ListFormat::Csv.text(&json!({ "usage": [], "next": null })), "");
    }
}
