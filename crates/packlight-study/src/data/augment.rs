//! Augmentation: pad-and-crop and horizontal flip.

use packlight_kernels::rng::Stream;
use serde::{Deserialize, Serialize};

/// How to augment training images; by default not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// The number of black pixels to add on each side before cropping a window of the image's own
    /// size at a uniformly random position.
    pub pad: usize,
    /// Whether to mirror half of the images, left to right.
    pub flip: bool,
}

/// The window to crop from one image, and whether to mirror it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The number of rows and columns by which the image moves up and left; negative: down and
    /// right.
    pub(super) up: isize,
    pub(super) left: isize,
    pub(super) mirror: bool,
}

impl Window {
    /// The image without a change.
    pub(super) const WHOLE: Window = Window { up: 0, left: 0, mirror: false };

    /// Writes the window of a plane with rows of `width` pixels; pixels outside the plane are 0.
    pub(super) fn show(self, plane: &[f32], width: usize, target: &mut [f32]) {
        for (row, target) in target.chunks_exact_mut(width).enumerate() {
            let source = row
                .checked_add_signed(self.up)
                .and_then(|row| plane.chunks_exact(width).nth(row))
                .unwrap_or_default();
            for (column, target) in target.iter_mut().enumerate() {
                let column = if self.mirror { width - 1 - column } else { column };
                *target = column
                    .checked_add_signed(self.left)
                    .and_then(|column| source.get(column))
                    .copied()
                    .unwrap_or_default();
            }
        }
    }
}

impl Augment {
    /// Draws the window of the next image. Each image takes three numbers from the stream, whatever
    /// the settings, so that flips do not change the crops.
    pub(super) fn draw(self, stream: &mut Stream) -> Window {
        let places = 2 * self.pad as u32 + 1;
        let mut shift = || stream.below(places) as isize - self.pad as isize;
        let (up, left) = (shift(), shift());
        let mirror = stream.below(2) == 1 && self.flip;
        Window { up, left, mirror }
    }
}

#[cfg(test)]
mod tests {
    use packlight_kernels::rng::{Key, Purpose};

    use super::*;

    const PLANE: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    fn shown(window: Window, plane: &[f32]) -> Vec<f32> {
        let mut target = vec![f32::NAN; plane.len()];
        window.show(plane, 3, &mut target);
        target
    }

    #[test]
    fn the_middle_window_is_the_image() {
        assert_eq!(shown(Window::WHOLE, &PLANE), PLANE);
    }

    #[test]
    fn a_moved_window_shows_black_beside_the_image() {
        let window = Window { up: 1, left: -1, mirror: false };
        assert_eq!(shown(window, &PLANE), [0.0, 4.0, 5.0, 0.0, 0.0, 0.0]);
        let away = Window { up: -2, left: 0, mirror: false };
        assert_eq!(shown(away, &PLANE), [0.0; 6]);
    }

    #[test]
    fn mirroring_twice_is_the_image() {
        let mirror = Window { mirror: true, ..Window::WHOLE };
        assert_eq!(shown(mirror, &PLANE), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(shown(mirror, &shown(mirror, &PLANE)), PLANE);
    }

    #[test]
    fn windows_are_reproducible_uniform_and_within_bounds() {
        let augment = Augment { pad: 2, flip: true };
        let windows = |seed| -> Vec<Window> {
            let mut stream = Key::new(seed, Purpose::Augment).stream();
            (0..5000).map(|_| augment.draw(&mut stream)).collect()
        };
        assert_eq!(windows(1), windows(1));
        assert_ne!(windows(1), windows(2));
        for up in -2..=2 {
            let share = windows(1).iter().filter(|window| window.up == up).count();
            assert!((850..1150).contains(&share), "{share} of 5000 at {up}");
        }
        assert!(windows(1).iter().all(|window| window.left.abs() <= 2));
        let mirrored = windows(1).iter().filter(|window| window.mirror).count();
        assert!((2350..2650).contains(&mirrored), "{mirrored} of 5000");
    }

    #[test]
    fn flips_do_not_change_the_crops() {
        let mut streams =
            [Key::new(3, Purpose::Augment).stream(), Key::new(3, Purpose::Augment).stream()];
        for _ in 0..20 {
            let with = Augment { pad: 4, flip: true }.draw(&mut streams[0]);
            let without = Augment { pad: 4, flip: false }.draw(&mut streams[1]);
            assert_eq!(Window { mirror: false, ..with }, without);
        }
    }
}
