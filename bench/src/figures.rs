//! What a sample measured, and what many of them amount to.

use std::collections::BTreeMap;
use std::time::Duration;

/// What one sample measured, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The middle one; of two the mean; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => (value + sorted[middle - 1]) / 2.0,
    }
}

/// The least; 0 of none.
pub(crate) fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().reduce(f64::min).unwrap_or_default()
}

/// Of times taken one after the other: medians of the first 20 and of the last 20, in microseconds.
pub(crate) fn around(times: &[Duration]) -> Figures {
    let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    let (few, many) = (&micros[..20.min(micros.len())], &micros[micros.len().saturating_sub(20)..]);
    Figures::from([("us_at_10".to_owned(), median(few)), ("us_at_500".to_owned(), median(many))])
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
