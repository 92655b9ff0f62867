//! Puts white behind the transparent pixels of an image.

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};

/// The image on a white page, without its alpha channel: each colour is blended with white by its
/// alpha. An image without an alpha channel stays as it is.
pub(super) fn on_white(image: DynamicImage) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    match image {
        DynamicImage::ImageLumaA8(image) => ImageBuffer::from_fn(width, height, |x, y| {
            let LumaA([grey, alpha]) = *image.get_pixel(x, y);
            Luma([mixed(grey, alpha, u8::MAX)])
        })
        .into(),
        DynamicImage::ImageLumaA16(image) => ImageBuffer::from_fn(width, height, |x, y| {
            let LumaA([grey, alpha]) = *image.get_pixel(x, y);
            Luma([mixed(grey, alpha, u16::MAX)])
        })
        .into(),
        DynamicImage::ImageRgba8(image) => ImageBuffer::from_fn(width, height, |x, y| {
            let Rgba([red, green, blue, alpha]) = *image.get_pixel(x, y);
            Rgb([red, green, blue].map(|colour| mixed(colour, alpha, u8::MAX)))
        })
        .into(),
        DynamicImage::ImageRgba16(image) => ImageBuffer::from_fn(width, height, |x, y| {
            let Rgba([red, green, blue, alpha]) = *image.get_pixel(x, y);
            Rgb([red, green, blue].map(|colour| mixed(colour, alpha, u16::MAX)))
        })
        .into(),
        image => image,
    }
}

/// Blends a colour, with the weight `alpha / white`, with white; rounds the result.
fn mixed<T: Copy + Into<u64> + TryFrom<u64>>(colour: T, alpha: T, white: T) -> T {
    let [colour, alpha, most]: [u64; 3] = [colour, alpha, white].map(Into::into);
    T::try_from((colour * alpha + most * (most - alpha) + most / 2) / most).unwrap_or(white)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_says_how_much_of_a_colour_is_seen() {
        assert_eq!([0, 51, 255].map(|alpha: u8| mixed(100, alpha, 255)), [255, 224, 100]);
        assert_eq!(mixed(0, u16::MAX, u16::MAX), 0);
        assert_eq!(mixed(u16::MAX, u16::MAX, u16::MAX), u16::MAX);
        assert!((0..=255).all(|colour: u8| mixed(colour, 255, 255) == colour));
    }

    #[test]
    fn every_form_with_alpha_loses_it_and_the_others_stay() {
        let of = |image: DynamicImage| on_white(image).into_rgb8().into_raw();
        let grey = |alpha| ImageBuffer::from_pixel(1, 1, LumaA([0u8, alpha]));
        assert_eq!(of(grey(0).into()), [255; 3]);
        assert_eq!(of(grey(102).into()), [153; 3]);
        let deep = ImageBuffer::from_pixel(1, 1, LumaA([0u16, 13107])); // a fifth
        assert_eq!(of(deep.into()), [204; 3]);
        let colour = ImageBuffer::from_pixel(1, 1, Rgba([255u8, 0, 100, 51]));
        assert_eq!(of(colour.into()), [255, 204, 224]);
        let deep = ImageBuffer::from_pixel(1, 1, Rgba([u16::MAX, 0, 25700, 13107]));
        assert_eq!(of(deep.into()), [255, 204, 224]);
        let opaque: DynamicImage = ImageBuffer::from_pixel(1, 1, Rgb([1u8, 2, 3])).into();
        assert_eq!(on_white(opaque.clone()), opaque);
    }
}
