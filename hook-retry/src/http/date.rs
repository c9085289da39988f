/// The seconds since 1970 of an HTTP date in any of its three forms (RFC 9110, 5.6.7):
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
/// Dates before 1970 are 1970. The day of the week is not looked at.
pub(super) fn parse(text: &str) -> Option<u64> {
    let mut words = text.split([' ', '-']).filter(|word| !word.is_empty());
    let is_asctime = !words.next()?.ends_with(',');
    let (day, month, year, time);
    if is_asctime {
        (month, day, time) = (words.next()?, words.next()?, words.next()?);
        year = words.next()?;
    } else {
        (day, month, year) = (words.next()?, words.next()?, words.next()?);
        time = words.next()?;
        if words.next()? != "GMT" {
            return None;
        }
    }
    if words.next().is_some() {
        return None;
    }
    let day = number(day, 1, 31)?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year = match year.len() {
        // Two digits are the year of that ending nearest to now; these are the years of HTTP.
        2 => match number(year, 0, 99)? {
            year @ 70.. => 1_900 + year,
            year => 2_000 + year,
        },
        4 => number(year, 0, 9_999)?,
        _ => return None,
    };
    let mut parts = time.split(':');
    let (hour, minute) = (number(parts.next()?, 0, 23)?, number(parts.next()?, 0, 59)?);
    // 60 is a leap second.
    let second = number(parts.next()?, 0, 60)?;
    if parts.next().is_some() {
        return None;
    }
    let days = days_since_epoch(year, month, day);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

/// Days of the Gregorian calendar, counted in years that begin in March so that a leap day is a year's last.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    if year < 1_970 {
        return 0;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days - DAYS_TO_EPOCH
}

/// From the first of March of the year 0 to the first of January 1970.
const DAYS_TO_EPOCH: u64 = 719_468;
