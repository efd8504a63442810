//! Lists of lists, and how they are printed for people: on one line if they fit, else each element
//! on a line of its own, indented.

/// The most characters of a line, if its elements allow it.
const WIDTH: usize = 100;
/// The number of spaces of a level.
const INDENT: usize = 4;

/// A word, or a list between parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sexpr {
    /// A word, which is printed as it is.
    Word(String),
    /// The elements between two parentheses.
    List(Vec<Self>),
}

impl Sexpr {
    /// A word.
    pub(crate) fn word(word: impl Into<String>) -> Self {
        Self::Word(word.into())
    }

    /// A list that begins with a word.
    pub(crate) fn list(head: impl Into<String>, rest: impl IntoIterator<Item = Self>) -> Self {
        let head = std::iter::once(Self::word(head));
        Self::List(head.chain(rest).collect())
    }

    /// Appends the expression to `out`, at this number of spaces, and a newline.
    pub(crate) fn print(&self, indent: usize, out: &mut String) {
        self.write(indent, 0, out);
        out.push('\n');
    }

    /// The number of characters on one line.
    fn width(&self) -> usize {
        match self {
            Self::Word(word) => word.chars().count(),
            Self::List(list) => {
                let inside: usize = list.iter().map(|element| element.width() + 1).sum();
                inside.max(1) + 1
            }
        }
    }

    /// Appends the expression at this number of spaces. `closing` parentheses follow it on its last
    /// line.
    fn write(&self, indent: usize, closing: usize, out: &mut String) {
        out.extend(std::iter::repeat_n(' ', indent));
        match self {
            Self::List(list) if indent + self.width() + closing > WIDTH => {
                out.push('(');
                // The words at the start, such as the name of a form and its target, stay together.
                let is_word = |element: &&Self| matches!(element, Self::Word(_));
                let words = list.iter().take(2).take_while(is_word).count();
                let (head, rest) = list.split_at(words);
                for (number, word) in head.iter().enumerate() {
                    out.push_str(if number > 0 { " " } else { "" });
                    word.flat(out);
                }
                for (number, element) in rest.iter().enumerate() {
                    let is_last = number + 1 == rest.len();
                    if number > 0 || words > 0 {
                        out.push('\n');
                        element.write(indent + INDENT, if is_last { closing + 1 } else { 0 }, out);
                    } else {
                        element.flat(out);
                    }
                }
                out.push(')');
            }
            other => other.flat(out),
        }
    }

    fn flat(&self, out: &mut String) {
        match self {
            Self::Word(word) => out.push_str(word),
            Self::List(list) => {
                out.push('(');
                for (number, element) in list.iter().enumerate() {
                    out.push_str(if number > 0 { " " } else { "" });
                    element.flat(out);
                }
                out.push(')');
            }
        }
    }
}
