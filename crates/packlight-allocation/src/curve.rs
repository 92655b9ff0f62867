//! Convex curves of error against bytes.

use crate::front::front;

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
            vertices.push(point);
            // A vertex that lies on or above the line between its neighbours is none.
            while let end = vertices.len() - 1
                && end > 1
                && slope(&vertices, end - 1) >= slope(&vertices, end)
            {
                vertices.remove(end - 1);
            }
        }
        Self { vertices }
    }

    /// The curve of two sets of layers together: their pieces from the steepest to the flattest.
    ///
    /// It is added up from the flat end, where errors are small, so that each vertex is exact to a few
    /// roundings of its own error.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let (own, others) = (self.vertices.as_slice(), other.vertices.as_slice());
        let (mut i, mut j) = (own.len() - 1, others.len() - 1);
        let mut vertex = (own[i].0 + others[j].0, own[i].1 + others[j].1);
        let mut vertices = vec![vertex];
        while i + j > 0 {
            let take_own = j == 0 || i > 0 && slope(own, i) >= slope(others, j);
            let (from, to) = match take_own {
                true => (own[i - 1], own[i]),
                false => (others[j - 1], others[j]),
            };
            if take_own {
                i -= 1
            } else {
                j -= 1
            }
            vertex = (vertex.0 - (to.0 - from.0), vertex.1 + (from.1 - to.1));
            vertices.push(vertex);
        }
        vertices.reverse();
        Self { vertices }
    }

    /// The curve where another whole choice stands beside those of this one.
    pub(crate) fn or(&self, (bytes, error): (u64, f64)) -> Self {
        let mut points = self.vertices.clone();
        points.push((bytes, error));
        let points = front(points, |point| *point);
        Self::hull(points.into_iter())
    }

    /// The least error with so many bytes; `None` if they are too few.
    pub(crate) fn at(&self, bytes: u64) -> Option<f64> {
        let after = self.vertices.partition_point(|vertex| vertex.0 <= bytes);
        let before = self.vertices[after.checked_sub(1)?];
        Some(match self.vertices.get(after) {
            Some(next) => next.1 - (next.0 - bytes) as f64 * slope(&self.vertices, after),
            None => before.1,
        })
    }
}

/// The slope of the piece that ends at a vertex.
fn slope(vertices: &[(u64, f64)], end: usize) -> f64 {
    let (from, to) = (vertices[end - 1], vertices[end]);
    (to.1 - from.1) / (to.0 - from.0) as f64
}
