//! Bilinear resizing.

/// Resizes images from one fixed size to another, as PyTorch's `interpolate(mode="bilinear",
/// align_corners=False)` does: on each axis, pixel `i` of the result interpolates the two pixels
/// nearest to `(i + 1/2) * from / to - 1/2`, without smoothing where the image shrinks.
#[derive(Debug, Clone)]
pub(super) struct Resize {
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    from: (usize, usize),
}

/// The two pixels that are interpolated, and the weight of the second.
#[derive(Debug, Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

impl Resize {
    /// Prepares the resizing between two sizes (height, width), none of them 0.
    pub(super) fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        Self { rows: taps(from.0, to.0), columns: taps(from.1, to.1), from }
    }

    /// The number of pixels of a plane of the result.
    fn pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Resizes every plane of an image.
    pub(super) fn image(&self, source: &[f32]) -> Vec<f32> {
        let (height, width) = self.from;
        let mut target = Vec::with_capacity(source.len() / (height * width) * self.pixels());
        for plane in source.chunks_exact(height * width) {
            for row in &self.rows {
                let low = &plane[row.low * width..][..width];
                let high = &plane[row.high * width..][..width];
                target.extend(self.columns.iter().map(|column| {
                    let mix = |line: &[f32]| {
                        (1.0 - column.weight) * line[column.low] + column.weight * line[column.high]
                    };
                    (1.0 - row.weight) * mix(low) + row.weight * mix(high)
                }));
            }
        }
        target
    }
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|index| {
            let place = (scale * (index as f32 + 0.5) - 0.5).max(0.0);
            let low = (place as usize).min(from - 1);
            Tap { low, high: (low + 1).min(from - 1), weight: (place - low as f32).min(1.0) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(source: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
        Resize::new(from, to).image(source)
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let source: Vec<f32> = (0..35).map(|n| (n as f32).sin()).collect();
        assert_eq!(resized(&source, (5, 7), (5, 7)), source);
    }

    #[test]
    fn every_plane_is_resized() {
        let source: Vec<f32> = [[0.25; 12], [0.75; 12]].concat();
        assert_eq!(resized(&source, (3, 4), (6, 5)), [[0.25; 30], [0.75; 30]].concat());
    }

    #[test]
    fn a_constant_stays_constant() {
        for to in [(1, 1), (3, 2), (32, 32), (13, 7)] {
            assert!(resized(&[0.3; 64], (8, 8), to).iter().all(|v| (v - 0.3).abs() < 1e-7));
        }
    }

    #[test]
    fn a_ramp_stays_a_ramp_inside() {
        let source: Vec<f32> = (0..64).map(|n| (n % 8) as f32).collect();
        let row = &resized(&source, (8, 8), (32, 32))[..32];
        assert_eq!(&row[..4], [0.0, 0.0, 0.125, 0.375]);
        assert!(row[2..30].windows(2).all(|pair| (pair[1] - pair[0] - 0.25).abs() < 1e-6));
    }

    #[test]
    fn agrees_with_pytorch() {
        // F.interpolate(torch.arange(12.).mul(12.9898).sin().reshape(1, 1, 3, 4), size=...)
        #[rustfmt::skip]
        let source = [
            0.0, 0.41089, 0.749204, 0.955187, 0.992455, 0.854424, 0.565477, 0.176651,
            -0.243377, -0.620417, -0.887878, -0.998506,
        ];
        #[rustfmt::skip]
        let larger = [
            0.0, 0.205445, 0.467276, 0.692819, 0.852195, 0.955187,
            0.396982, 0.492643, 0.602872, 0.661145, 0.659743, 0.643772,
            0.992455, 0.923439, 0.806266, 0.613635, 0.371064, 0.176651,
            0.250955, 0.110237, -0.07649, -0.260527, -0.41749, -0.528444,
            -0.243377, -0.431897, -0.664994, -0.843301, -0.943192, -0.998506,
        ];
        let smaller = [0.293724, 0.612523, 0.751006, 0.0127, -0.388123, -0.674687];
        for (to, expected) in [((5, 6), &larger[..]), ((2, 3), &smaller[..])] {
            let found = resized(&source, (3, 4), to);
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 2e-6), "{found:?}");
        }
    }
}
