//! Convex curves of error against bytes.

/// The least error that is possible with so many bytes if a part of a layer could have one codec and
/// the rest another: the linear relaxation of the multiple-choice knapsack problem (Sinha and Zoltners,
/// The Multiple-Choice Knapsack Problem, Operations Research 27, 1979). It falls, and falls ever less
/// steeply. Its vertices are whole choices.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    vertices: Vec<(u64, f64)>,
}

impl Curve {
    /// That of no layer at all.
    pub(crate) fn nothing() -> Self {
        Self { vertices: vec![(0, 0.0)] }
    }

    /// The lower hull of points whose bytes rise and whose errors fall.
    pub(crate) fn hull(points: impl Iterator<Item = (u64, f64)>) -> Self {
        let mut vertices: Vec<(u64, f64)> = Vec::new();
        for point in points {
            while let [.., before, last] = vertices[..]
                && slope(before, last) >= slope(last, point)
            {
                vertices.pop();
            }
            vertices.push(point);
        }
        Self { vertices }
    }

    /// The curve of two sets of layers together: their pieces from the steepest to the flattest.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let ((mut bytes, mut error), (more, errors)) = (self.vertices[0], other.vertices[0]);
        (bytes, error) = (bytes + more, error + errors);
        let mut vertices = vec![(bytes, error)];
        let mut pieces =
            [self.vertices.windows(2).peekable(), other.vertices.windows(2).peekable()];
        let steepness = |piece: Option<&&[(u64, f64)]>| piece.map(|ends| slope(ends[0], ends[1]));
        loop {
            let next = match (steepness(pieces[0].peek()), steepness(pieces[1].peek())) {
                (Some(own), Some(others)) => usize::from(others < own),
                (Some(_), None) => 0,
                (None, Some(_)) => 1,
                (None, None) => return Self { vertices },
            };
            if let Some(ends) = pieces[next].next() {
                bytes += ends[1].0 - ends[0].0;
                error += ends[1].1 - ends[0].1;
                vertices.push((bytes, error));
            }
        }
    }

    /// The least error with so many bytes; `None` if they are too few.
    pub(crate) fn at(&self, bytes: u64) -> Option<f64> {
        let after = self.vertices.partition_point(|vertex| vertex.0 <= bytes);
        let before = self.vertices[after.checked_sub(1)?];
        Some(match self.vertices.get(after) {
            Some(&next) => before.1 + (bytes - before.0) as f64 * slope(before, next),
            None => before.1,
        })
    }

    /// The error of the best vertex with at most so many bytes, which whole choices have.
    pub(crate) fn vertex(&self, bytes: u64) -> Option<f64> {
        let after = self.vertices.partition_point(|vertex| vertex.0 <= bytes);
        Some(self.vertices[after.checked_sub(1)?].1)
    }
}

fn slope(from: (u64, f64), to: (u64, f64)) -> f64 {
    (to.1 - from.1) / (to.0 - from.0) as f64
}
