//! Cost model of runs, learned from finished runs: a mean for each bucket and number of rows, and a linear fit over all
//! runs for sizes that were not seen yet.
//!
//! Pure; the caller passes the time. Each lane has one; its owner threads feed it, and [`super::decide`] queries it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::Bucket;

/// Weight of the newest run in the mean of its size: about the last ten runs count.
const NEWEST: f64 = 0.2;
/// After this many runs of a size, one run changes its mean as if it took at most [`JUMP_MAX`] times, or at least one
/// [`JUMP_MAX`]th of, the mean: on a shared machine other load delays a run now and then.
const SETTLED: u32 = 3;
const JUMP_MAX: f64 = 4.0;
/// Forgetting factor of the linear fit: the last 200 or so runs count.
const FORGET: f64 = 0.995;
/// Estimate before the first run, in milliseconds.
const FIRST_ESTIMATE_MS: f64 = 20.0;
/// Largest number of buckets kept; beyond it the least recently used one is dropped.
const BUCKETS_MAX: usize = 512;
/// Largest number of sizes kept for one bucket.
const SIZES_MAX: usize = 64;
/// Time over which arrivals are averaged. Waiting longer than this for co-batched items never pays.
const ARRIVALS_OVER: Duration = Duration::from_millis(200);

/// Learned costs of the engines of one lane.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    line: Line,
    buckets: HashMap<Bucket, Known>,
    clock: u64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    sizes: BTreeMap<u32, Mean>,
    arrivals: Rate,
    used: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mean {
    ms: f64,
    runs: u32,
}

impl Costs {
    /// Records a successful run of `rows` rows that took `took`.
    pub fn learn(&mut self, bucket: &Bucket, rows: u32, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        self.line.learn(bucket.work(rows), ms);
        let known = self.known(bucket);
        if known.sizes.len() >= SIZES_MAX && !known.sizes.contains_key(&rows) {
            let rarest = known.sizes.iter().min_by_key(|(_, mean)| mean.runs).map(|(rows, _)| *rows);
            rarest.and_then(|rows| known.sizes.remove(&rows));
        }
        let mean = known.sizes.entry(rows).or_insert(Mean { ms, runs: 0 });
        // The runs before were delayed: the mean begins again.
        if mean.runs < SETTLED && ms * JUMP_MAX < mean.ms {
            *mean = Mean { ms, runs: 0 };
        }
        let bounded = if mean.runs < SETTLED { ms } else { ms.clamp(mean.ms / JUMP_MAX, mean.ms * JUMP_MAX) };
        // The first runs count evenly, later ones with the weight [`NEWEST`].
        let share = NEWEST.max(1.0 / f64::from(mean.runs + 1));
        mean.ms += share * (bounded - mean.ms);
        mean.runs = mean.runs.saturating_add(1);
    }

    /// Records that an item of `rows` rows was offered.
    pub fn arrived(&mut self, bucket: &Bucket, rows: u32, now: Instant) {
        self.known(bucket).arrivals.add(f64::from(rows), now);
    }

    /// Returns the recent rate of rows per second of the bucket.
    pub fn arrivals_per_s(&self, bucket: &Bucket, now: Instant) -> f64 {
        self.buckets.get(bucket).map_or(0.0, |known| known.arrivals.per_s(now))
    }

    /// Returns the predicted milliseconds of one run.
    pub fn predict_ms(&self, bucket: &Bucket, rows: u32) -> f64 {
        let line = |rows: u32| self.line.at(bucket.work(rows));
        let Some(known) = self.buckets.get(bucket).filter(|known| !known.sizes.is_empty()) else {
            return line(rows);
        };
        // A size with few runs that took far more than the fit over all runs predicts was probably delayed. The fit
        // counts, so that the size is run again; otherwise its cost would never be corrected.
        let believed = |(&rows, mean): (&u32, &Mean)| {
            let fitted = line(rows);
            let delayed = mean.runs < SETTLED && mean.ms > fitted * JUMP_MAX;
            (rows, if delayed { fitted } else { mean.ms })
        };
        let below = known.sizes.range(..=rows).next_back().map(believed);
        let above = known.sizes.range(rows..).next().map(believed);
        match (below, above) {
            (Some((few, less)), Some((many, more))) if many > few => {
                less + (more - less) * f64::from(rows - few) / f64::from(many - few)
            }
            (Some((_, exact)), Some(_)) => exact,
            // Outside the sizes seen: scale the nearest mean by the ratio of the linear fit.
            (Some((seen, ms)), None) | (None, Some((seen, ms))) => ms * line(rows) / line(seen),
            (None, None) => line(rows),
        }
    }

    /// Returns a lower bound of the time of a run of that size, used to decide whether to start it; `None` where
    /// nothing is known.
    pub fn least(&self, bucket: &Bucket, rows: u32) -> Option<Duration> {
        let known = self.buckets.get(bucket)?;
        known.sizes.values().any(|mean| mean.runs >= SETTLED).then(|| {
            // Half of the mean: an item dropped as late that would have been in time is lost without need.
            Duration::from_secs_f64(self.predict_ms(bucket, rows) / 2e3)
        })
    }

    /// Returns whether a run of that size was seen.
    pub fn has_seen(&self, bucket: &Bucket, rows: u32) -> bool {
        self.buckets.get(bucket).is_some_and(|known| known.sizes.contains_key(&rows))
    }

    /// Returns whether no run was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.line.weight == 0.0
    }

    fn known(&mut self, bucket: &Bucket) -> &mut Known {
        self.clock += 1;
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(bucket) {
            let oldest = self.buckets.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.buckets.remove(&key));
        }
        let known = self.buckets.entry(bucket.clone()).or_default();
        known.used = self.clock;
        known
    }
}

/// `fixed + slope * work`, fitted by least squares of the relative errors: a run of 2 ms counts as much as one of 200
/// ms.
#[derive(Clone, Debug, Default)]
struct Line {
    weight: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn learn(&mut self, work: f64, ms: f64) {
        let w = 1.0 / (ms * ms).max(1e-6);
        for (sum, add) in [
            (&mut self.weight, w),
            (&mut self.x, w * work),
            (&mut self.y, w * ms),
            (&mut self.xx, w * work * work),
            (&mut self.xy, w * work * ms),
        ] {
            *sum = *sum * FORGET + add;
        }
    }

    /// Returns the fitted milliseconds; always above 0.
    fn at(&self, work: f64) -> f64 {
        if self.weight == 0.0 {
            return FIRST_ESTIMATE_MS;
        }
        let (x, y) = (self.x / self.weight, self.y / self.weight);
        let variance = self.xx / self.weight - x * x;
        // A single size does not determine the slope: the whole time is attributed to the work, so that no merge is
        // justified by a gain that was never observed.
        let through_origin = y / x.max(1e-9);
        let slope = if variance > 1e-9 * x * x {
            ((self.xy / self.weight - x * y) / variance).clamp(0.0, through_origin)
        } else {
            through_origin
        };
        (y + slope * (work - x)).max(1e-3)
    }
}

/// Events per second with exponential forgetting.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    per_s: f64,
    at: Option<Instant>,
}

impl Rate {
    fn per_s(&self, now: Instant) -> f64 {
        let Some(at) = self.at else { return 0.0 };
        self.per_s * (-now.saturating_duration_since(at).as_secs_f64() / ARRIVALS_OVER.as_secs_f64()).exp()
    }

    fn add(&mut self, events: f64, now: Instant) {
        self.per_s = self.per_s(now) + events / ARRIVALS_OVER.as_secs_f64();
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn bucket(width: usize) -> Bucket {
        Bucket::new(vec![vec![3, 48, width]], vec!["y".to_owned()])
    }

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1e3)
    }

    #[test]
    fn a_size_that_was_seen_is_its_mean_and_others_lie_between() {
        let mut costs = Costs::default();
        for _ in 0..5 {
            costs.learn(&bucket(320), 1, ms(10.0));
            costs.learn(&bucket(320), 5, ms(30.0));
        }
        let at = |rows| costs.predict_ms(&bucket(320), rows);
        assert!((at(1) - 10.0).abs() < 1e-6 && (at(5) - 30.0).abs() < 1e-6);
        assert!((at(3) - 20.0).abs() < 1e-6);
        assert!((at(9) - 50.0).abs() < 1.0, "{}", at(9));
    }

    #[test]
    fn a_bucket_that_was_not_seen_lies_on_the_line_of_the_others() {
        let mut costs = Costs::default();
        // 2 ms per launch, 1 ms per 100 columns.
        for (width, rows, took) in [(100, 1, 3.0), (200, 1, 4.0), (100, 4, 6.0), (400, 2, 10.0)] {
            (0..20).for_each(|_| costs.learn(&bucket(width), rows, ms(took)));
        }
        let predicted = costs.predict_ms(&bucket(300), 2);
        assert!((predicted - 8.0).abs() < 0.2, "{predicted}");
    }

    #[test]
    fn one_size_alone_predicts_no_gain_from_merging() {
        let mut costs = Costs::default();
        costs.learn(&bucket(320), 1, ms(10.0));
        assert!((costs.predict_ms(&bucket(320), 4) - 40.0).abs() < 1e-6);
        assert!((costs.predict_ms(&bucket(640), 1) - 20.0).abs() < 1e-6);
    }

    /// A first run that took a minute does not keep its size from being run again, and the next run corrects it.
    #[test]
    fn a_delayed_first_run_does_not_decide_the_cost_of_its_size() {
        let mut costs = Costs::default();
        (0..10).for_each(|_| costs.learn(&bucket(320), 1, ms(10.0)));
        costs.learn(&bucket(320), 8, ms(60_000.0));
        assert!(costs.predict_ms(&bucket(320), 8) < 100.0, "{}", costs.predict_ms(&bucket(320), 8));
        assert!(costs.predict_ms(&bucket(320), 4) < 100.0, "{}", costs.predict_ms(&bucket(320), 4));
        costs.learn(&bucket(320), 8, ms(40.0));
        assert!((costs.predict_ms(&bucket(320), 8) - 40.0).abs() < 1.0);
    }

    #[test]
    fn a_hiccup_moves_a_settled_mean_little() {
        let mut costs = Costs::default();
        (0..10).for_each(|_| costs.learn(&bucket(320), 1, ms(10.0)));
        costs.learn(&bucket(320), 1, ms(5_000.0));
        assert!(costs.predict_ms(&bucket(320), 1) < 17.0);
        assert_eq!(costs.least(&bucket(320), 1).map(|least| least < ms(9.0)), Some(true));
    }

    #[test]
    fn buckets_and_sizes_are_bounded() {
        let mut costs = Costs::default();
        for width in 1..3000 {
            costs.learn(&bucket(width), 1, ms(1.0));
        }
        (1..1000).for_each(|rows| costs.learn(&bucket(2999), rows, ms(1.0)));
        assert!(costs.buckets.len() <= BUCKETS_MAX);
        assert!(costs.buckets[&bucket(2999)].sizes.len() <= SIZES_MAX);
    }

    #[test]
    fn arrivals_are_forgotten() {
        let (mut costs, start) = (Costs::default(), Instant::now());
        for n in 0..200 {
            costs.arrived(&bucket(320), 1, start + Duration::from_millis(10 * n));
        }
        let end = start + Duration::from_secs(2);
        let rate = costs.arrivals_per_s(&bucket(320), end);
        assert!((80.0..120.0).contains(&rate), "{rate}");
        assert!(costs.arrivals_per_s(&bucket(320), end + Duration::from_secs(3)) < 0.1);
    }
}
