//! The whole matrix, or a sample of it, on several sites at once.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    thread,
};

use super::{Baseline, Cell, Kind, Operation, Outcome, site::Site};

/// How a matrix is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many cells are run at once, each on an application of its own.
    pub sites: usize,
    /// How many cells are run; all where it is `None`.
    pub sample: Option<usize>,
    /// What the sample is drawn with.
    pub seed: u64,
    /// Only these faults; all where it is empty.
    pub kinds: Vec<Kind>,
    /// Only calls that may change something.
    pub changes_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { sites: 2, sample: None, seed: 3, kinds: Vec::new(), changes_only: false }
    }
}

/// The operations with the calls that they make.
#[derive(Debug)]
pub struct Matrix {
    baselines: Vec<Baseline>,
}

/// What came of a matrix.
#[derive(Debug, Default)]
pub struct Report {
    /// One row for each operation.
    pub rows: Vec<Row>,
    /// The cells that do not hold, with the reasons.
    pub broken: Vec<(Cell, String)>,
}

/// What came of one operation.
#[derive(Clone, Debug)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// How many calls it makes.
    pub calls: usize,
    /// How many cells were run.
    pub faults: usize,
    /// How many of them hold.
    pub held: usize,
    /// How many could not be judged, since the call was not made.
    pub not_made: usize,
}

impl Matrix {
    /// Runs operations undisturbed.
    ///
    /// # Errors
    ///
    /// What went wrong, in a few words.
    pub fn measure(operations: &[Operation]) -> Result<Self, String> {
        let mut site = Site::new()?;
        // The first time, an engine is given what all applications share.
        drop(site.baseline(Operation::Create)?);
        let baselines = operations
            .iter()
            .map(|operation| site.baseline(*operation).map_err(|error| format!("{operation}: {error}")));
        Ok(Self { baselines: baselines.collect::<Result<_, _>>()? })
    }

    /// Returns all cells that are asked for.
    #[must_use]
    pub fn cells(&self, options: &Options) -> Vec<Cell> {
        let mut cells = Vec::new();
        for baseline in &self.baselines {
            for point in &baseline.points {
                let kinds = point.kinds();
                if options.changes_only && kinds.len() == Kind::OF_READS.len() {
                    continue;
                }
                for kind in
                    kinds.iter().filter(|kind| options.kinds.is_empty() || options.kinds.contains(kind))
                {
                    cells.push(Cell { operation: baseline.operation, kind: *kind, point: point.clone() });
                }
            }
        }
        match options.sample {
            Some(number) => sample(cells, number, options.seed),
            None => cells,
        }
    }

    /// Runs cells, and tells of each as it ends.
    ///
    /// # Errors
    ///
    /// What went wrong apart from the law, in a few words.
    pub fn run(
        &self,
        cells: Vec<Cell>,
        sites: usize,
        tell: &(dyn Fn(&Cell, &Outcome) + Sync),
    ) -> Result<Report, String> {
        let total: BTreeMap<Operation, usize> = cells.iter().fold(BTreeMap::new(), |mut total, cell| {
            *total.entry(cell.operation).or_default() += 1;
            total
        });
        let (queue, outcomes) = (Mutex::new(cells), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let workers: Vec<_> = (1..=sites.max(1))
                .map(|_| {
                    scope.spawn({
                        let (queue, outcomes) = (&queue, &outcomes);
                        move || self.work(queue, outcomes, tell)
                    })
                })
                .collect();
            let ended = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| Err("a site panicked".to_owned())));
            ended.collect::<Result<Vec<()>, String>>()
        })?;
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(self.report(&total, outcomes))
    }

    fn work(
        &self,
        queue: &Mutex<Vec<Cell>>,
        outcomes: &Mutex<Vec<(Cell, Outcome)>>,
        tell: &(dyn Fn(&Cell, &Outcome) + Sync),
    ) -> Result<(), String> {
        let mut site = Site::new()?;
        while let Some(cell) = next(queue, &site) {
            let baseline = self.baselines.iter().find(|baseline| baseline.operation == cell.operation);
            let baseline = baseline.ok_or_else(|| format!("{} was not measured", cell.operation))?;
            let mut outcome = site.disturb(&cell, baseline).unwrap_or_else(Outcome::Broken);
            if outcome == Outcome::NotMade {
                outcome = site.disturb(&cell, baseline).unwrap_or_else(Outcome::Broken);
            }
            tell(&cell, &outcome);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((cell, outcome));
        }
        Ok(())
    }

    fn report(&self, total: &BTreeMap<Operation, usize>, outcomes: Vec<(Cell, Outcome)>) -> Report {
        let row = |baseline: &Baseline| {
            let of = |wanted: &dyn Fn(&Outcome) -> bool| {
                outcomes
                    .iter()
                    .filter(|(cell, outcome)| cell.operation == baseline.operation && wanted(outcome))
                    .count()
            };
            Row {
                operation: baseline.operation,
                calls: baseline.points.len(),
                faults: total.get(&baseline.operation).copied().unwrap_or_default(),
                held: of(&|outcome| *outcome == Outcome::Held),
                not_made: of(&|outcome| *outcome == Outcome::NotMade),
            }
        };
        let rows = self.baselines.iter().map(row).collect();
        let broken = outcomes.into_iter().filter_map(|(cell, outcome)| match outcome {
            Outcome::Broken(why) => Some((cell, why)),
            Outcome::Held | Outcome::NotMade => None,
        });
        Report { rows, broken: broken.collect() }
    }
}

/// Takes a cell that begins with what there is on a site, if there is one.
fn next(queue: &Mutex<Vec<Cell>>, site: &Site) -> Option<Cell> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |cell: &Cell| site.state() == Some(cell.operation.begin());
    // What only looks at a state comes before what ends it.
    let stays = queue.iter().position(|cell| fits(cell) && site.state() == Some(cell.operation.end()));
    let at = stays.or_else(|| queue.iter().position(fits)).unwrap_or_default();
    if queue.is_empty() { None } else { Some(queue.remove(at)) }
}

/// Draws cells, as many of each operation as of any other where there are so many.
fn sample(cells: Vec<Cell>, number: usize, seed: u64) -> Vec<Cell> {
    let mut groups: BTreeMap<Operation, Vec<Cell>> = BTreeMap::new();
    for cell in cells {
        groups.entry(cell.operation).or_default().push(cell);
    }
    let mut chance = Chance(seed);
    let mut drawn = Vec::new();
    while drawn.len() < number && groups.values().any(|group| !group.is_empty()) {
        for group in groups.values_mut().filter(|group| !group.is_empty()) {
            if drawn.len() < number {
                drawn.push(group.remove(chance.below(group.len())));
            }
        }
    }
    drawn
}

/// Numbers that look like chance and are the same each time (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:>6} {:>7} {:>7} {:>7} {:>9}",
            "OPERATION", "CALLS", "FAULTS", "PASSED", "FAILED", "NOT MADE"
        )?;
        for Row { operation, calls, faults, held, not_made } in &self.rows {
            let failed = faults - held - not_made;
            writeln!(
                f,
                "{:<14} {calls:>6} {faults:>7} {held:>7} {failed:>7} {not_made:>9}",
                operation.name()
            )?;
        }
        if !self.broken.is_empty() {
            writeln!(f, "\nFailed; each can be run again alone with scripts/faults --cell CELL:")?;
        }
        for (cell, _) in &self.broken {
            writeln!(f, "  '{cell}'")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Point;

    #[test]
    fn samples_are_even_and_repeat() {
        let cell = |operation, nth| Cell {
            operation,
            kind: Kind::Delay,
            point: Point { call: "GET /".to_owned(), nth },
        };
        let cells: Vec<Cell> = (0..50)
            .map(|nth| cell(Operation::Create, nth))
            .chain((0..2).map(|nth| cell(Operation::Down, nth)))
            .collect();
        let drawn = sample(cells.clone(), 10, 1);
        assert_eq!(drawn.len(), 10);
        assert_eq!(drawn.iter().filter(|cell| cell.operation == Operation::Down).count(), 2);
        assert_eq!(drawn, sample(cells.clone(), 10, 1));
        assert_ne!(drawn, sample(cells, 10, 2));
    }
}
