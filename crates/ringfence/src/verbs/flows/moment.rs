//! Points in time as people write them: `10m`, `09:14`, `2026-11-21`, RFC 3339.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// What can be written, for the error.
const FORMS: &str = "write how long ago (90s, 10m, 2h, 1d), a time of today (09:14), a date (2026-11-21), both \
                     (2026-11-21T09:14), or RFC 3339 (2026-11-21T09:14:02Z); without an offset it is UTC, as observe \
                     prints it; +10m is in ten minutes";

/// Reads a point in time, seen from the present.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, &Timestamp::now().to_zoned(TimeZone::UTC)).ok_or_else(|| FORMS.to_owned())
}

fn parse_at(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let utc = |at: DateTime| at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    // The shortest forms of ISO 8601 (2026, 20261121, 09) are no more than numbers here.
    if text.contains('-')
        && let Ok(date) = text.parse::<Date>()
        && text.len() <= "2026-11-21".len()
    {
        return utc(date.into());
    }
    if text.contains('-')
        && text.contains(':')
        && let Ok(at) = text.parse::<DateTime>()
    {
        return utc(at);
    }
    if text.contains(':') {
        return utc(now
            .datetime()
            .date()
            .to_datetime(text.parse::<Time>().ok()?));
    }
    let (ahead, length) = match text.strip_prefix('+') {
        Some(length) => (true, length),
        None => (false, text),
    };
    if !length.starts_with(|c: char| c.is_ascii_digit()) || length.contains("ago") {
        return None;
    }
    let length: Span = length.parse().ok()?;
    let at = if ahead {
        now.checked_add(length)
    } else {
        now.checked_sub(length)
    };
    at.ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        let now: Zoned = "2026-11-21T12:00:00[UTC]".parse().unwrap();
        parse_at(text, &now).map(|at| at.to_string())
    }

    #[test]
    fn reads_what_people_write() {
        for (text, wanted) in [
            ("2026-11-21T09:14:02Z", "2026-11-21T09:14:02Z"),
            ("2026-11-21T09:14:02.118Z", "2026-11-21T09:14:02.118Z"),
            ("2026-11-21T09:14:02+02:00", "2026-11-21T07:14:02Z"),
            ("2026-11-21T09:14:02", "2026-11-21T09:14:02Z"),
            ("2026-11-21 09:14", "2026-11-21T09:14:00Z"),
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("09:14", "2026-11-21T09:14:00Z"),
            ("23:59:59", "2026-11-21T23:59:59Z"),
            ("90s", "2026-11-21T11:58:30Z"),
            ("10m", "2026-11-21T11:50:00Z"),
            ("2h", "2026-11-21T10:00:00Z"),
            ("1d", "2026-11-20T12:00:00Z"),
            ("2w", "2026-11-07T12:00:00Z"),
            ("1h30m", "2026-11-21T10:30:00Z"),
            ("1d 2h", "2026-11-20T10:00:00Z"),
            ("+10m", "2026-11-21T12:10:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn refuses_what_could_mean_anything() {
        for text in [
            "",
            "now",
            "10",
            "m",
            "-10m",
            "10x",
            "2026",
            "20261121",
            "2026-13-01",
            "25:00",
            "09:14 tomorrow",
            "1795000000",
            "+",
            "+-10m",
            "10m ago",
            "9999999999d",
            "P1D",
            "2026-11-21T",
            "\u{202e}10m",
        ] {
            assert_eq!(at(text), None, "{text:?}");
        }
    }
}
