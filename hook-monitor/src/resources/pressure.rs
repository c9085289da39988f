use crate::Status;

const ENTER: f64 = 0.85;
const LEAVE: f64 = 0.75;
const SAMPLES: u32 = 3;

/// Degraded after three samples in a row at 85 % of the limit, healthy again below 75 %.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pressure {
    status: Status,
    high: u32,
}

impl Pressure {
    pub(super) fn on_sample(&mut self, ratio: f64) -> Status {
        self.high = if ratio >= ENTER {
            self.high.saturating_add(1)
        } else {
            0
        };
        if self.high >= SAMPLES {
            self.status = Status::Degraded;
        } else if ratio < LEAVE {
            self.status = Status::Healthy;
        }
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Degraded as D, Healthy as H};

    #[test]
    fn pressure_takes_three_samples_to_come_and_leaves_ten_per_cent_lower() {
        for (ratios, statuses) in [
            (&[0.9, 0.9, 0.9][..], &[H, H, D][..]),
            (&[0.9, 0.9, 0.84, 0.9, 0.9, 0.85], &[H, H, H, H, H, D]),
            (&[1.0, 1.0, 1.0, 0.8, 0.75, 0.74, 0.8], &[H, H, D, D, D, H, H]),
            (&[0.0, f64::NAN, 0.0], &[H, H, H]),
        ] {
            let mut pressure = Pressure::default();
            let seen: Vec<_> = ratios.iter().map(|&ratio| pressure.on_sample(ratio)).collect();
            assert_eq!(seen, statuses, "{ratios:?}");
        }
    }
}
