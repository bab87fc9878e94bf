//! Checks text from players before others see it.

use std::iter;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// The text without space around it, if it is one line of 1 to `max` characters that others can
/// read. Refuses with `None` what could pass for another text, or change the text around it:
///
/// - a text in which nothing shows, such as spaces alone or a lone accent,
/// - control characters, line breaks, and characters that change the direction of others,
/// - invisible characters. Those that join others are fine where they do so, as in many
///   scripts, and in emoji.
///
/// A name by [`Identity::new`](crate::Identity::new) is such a line. Use it for every text that one
/// player sends and others see:
///
/// ```
/// # use cluster::{Refusal, readable_line, refuse};
/// fn title(text: &str) -> Result<String, Refusal> {
///     let title = readable_line(text, 40);
///     Ok(title.ok_or(refuse("bad_title", "A title is a line of 1 to 40 characters."))?.to_owned())
/// }
/// assert_eq!(title(" Ann's room ").unwrap(), "Ann's room");
/// assert!(title("\u{200b}").is_err());
/// ```
pub fn readable_line(text: &str, max: usize) -> Option<&str> {
    let text = text.trim();
    let chars = text.chars().take(max.saturating_add(1));
    let spaced: Vec<char> = iter::once(' ').chain(chars).chain([' ']).collect();
    let fits = |&[before, c, after]: &[char; 3]| match Kind::of(c) {
        Kind::Shown | Kind::Space => true,
        Kind::Mark => Kind::of(before) != Kind::Space,
        // At the end of a word it forms Malayalam letters, which end with a mark.
        Kind::Joiner => match Kind::of(before) {
            Kind::Mark => true,
            Kind::Shown => matches!(Kind::of(after), Kind::Shown | Kind::Mark),
            _ => false,
        },
        // Only the flags of England, Scotland and Wales are spelled with tags, after a black flag.
        Kind::Tag => before == '\u{1f3f4}' || Kind::of(before) == Kind::Tag,
        Kind::Hidden => false,
    };
    let is_shown = spaced.iter().any(|&c| Kind::of(c) == Kind::Shown);
    (is_shown && spaced.len() - 2 <= max && spaced.array_windows().all(fits)).then_some(text)
}

/// What a character does in a line.
#[derive(PartialEq)]
enum Kind {
    Shown,
    Space,
    /// Changes the character before it: an accent, a vowel sign, a variation selector.
    Mark,
    Joiner,
    Tag,
    Hidden,
}

impl Kind {
    fn of(c: char) -> Kind {
        use GeneralCategoryGroup::{Letter, Mark, Number, Punctuation, Symbol};
        match c {
            '\u{200c}' | '\u{200d}' => Kind::Joiner,
            '\u{e0020}'..='\u{e007f}' => Kind::Tag,
            // Letters and symbols without a glyph (Hangul fillers, a Braille pattern without dots,
            // hieroglyphic blanks, a null notehead), and line breaks.
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{13441}'
            | '\u{13442}' | '\u{1d159}' | '\u{2028}' | '\u{2029}' => Kind::Hidden,
            _ => match c.general_category_group() {
                Letter | Number | Punctuation | Symbol => Kind::Shown,
                Mark => Kind::Mark,
                GeneralCategoryGroup::Separator => Kind::Space,
                GeneralCategoryGroup::Other => Kind::Hidden,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_people_are_readable() {
        for name in [
            "Ann",
            "Zoë",
            "Zoe\u{308}",
            "O'Neill",
            "Jean-Luc",
            "Müller",
            "李小龍",
            "Đặng",
            "نوعا",
            "נועה",
            "مرحبا",
            "علی\u{200c}رضا",
            "ශ්\u{200d}රී",
            "র\u{200d}\u{9cd}যাব",
            "രാമന\u{d4d}\u{200d}",
            "रवि",
            "ขวัญ",
            "김철수",
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥",
            "🏴\u{200d}☠\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "🇩🇪",
            "👩🏽\u{200d}🦱",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "A B",
            "A\u{a0}B",
            "A\u{3000}B",
            "!",
        ] {
            assert_eq!(readable_line(&format!("  {name}\n"), 24), Some(name), "{name:?}");
        }
    }

    #[test]
    fn a_text_that_does_not_show_is_refused() {
        for hidden in [
            "",
            " ",
            "\u{a0}",
            "\u{3000}",
            "\u{3164}",
            "\u{2800}",
            "\u{115f}",
            "\u{1160}",
            "\u{ffa0}",
            "\u{34f}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{180e}",
            "\u{61c}",
            "\u{301}",
            "\u{200b}",
            "\u{200c}",
            "\u{200d}",
            "\u{ad}",
            "\u{2060}",
            "\u{2061}",
            "\u{feff}",
            "\u{e0100}",
            "\u{17b4}",
            "\u{180b}",
            "\u{1d159}",
            "\u{13441}",
            "\u{202e}",
            "\u{2028}",
            "\u{fff9}",
            "\u{1bca0}",
            "\u{1d173}",
            "\u{e0001}",
            "\u{2065}",
            "\u{ffff}",
        ] {
            for text in [hidden.to_owned(), hidden.repeat(24), format!(" {hidden} {hidden}")] {
                assert_eq!(readable_line(&text, 24), None, "{text:?}");
            }
        }
    }

    #[test]
    fn what_hides_in_a_text_or_changes_its_direction_is_refused() {
        let controls = "\0\t\n\r\u{7f}\u{85}\u{1b}";
        let directions = "\u{2028}\u{2029}\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}";
        let formats = "\u{ad}\u{180e}\u{200b}\u{2060}\u{206a}\u{206f}\u{feff}\u{fff9}\u{e0001}";
        let blanks = "\u{3164}\u{2800}\u{115f}\u{ffa0}\u{e0041}\u{f8ff}";
        for c in [controls, directions, formats, blanks].concat().chars() {
            assert_eq!(readable_line(&format!("A{c}nn"), 24), None, "{c:?}");
        }
        for text in [
            "Ann\u{200d}",
            "Ann \u{200d}Lee",
            "\u{200d}Ann",
            "An\u{200d}\u{200d}n",
            "\u{301}Ann",
            "A \u{301}n",
        ] {
            assert_eq!(readable_line(text, 24), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_has_at_most_so_many_characters() {
        assert!(readable_line(&"é".repeat(24), 24).is_some());
        assert!(readable_line(&"é".repeat(25), 24).is_none());
        assert!(readable_line(&"a".repeat(65_536), 24).is_none());
        assert!(readable_line("a", 0).is_none());
    }
}
