//! Resolves types as they are written.

use inspect::suggest::nearest;

use super::super::tree::{Declaration, Declarator, IntegerName, Parameter, TypeName};
use super::super::types::{Field, Layout, MAX_SIZE, Model, Record, Type};
use super::{Checker, Entity};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// The deepest nesting of a type: pointers to pointers, arrays of arrays.
const MAX_DEPTH: usize = 32;

impl Checker<'_> {
    /// Resolves the type before the names. `None` for bags and aggregates, which are not types of
    /// values.
    pub(super) fn base(&mut self, name: &TypeName) -> Option<Type> {
        match name {
            TypeName::Void => Some(Type::Void),
            TypeName::Str => Some(Type::Str),
            TypeName::Bag | TypeName::Aggregate => None,
            TypeName::Integer(IntegerName::Sized(bytes)) => Some(Type::Integer(*bytes)),
            TypeName::Integer(IntegerName::Int) => Some(Type::Integer(self.model.int())),
            TypeName::Integer(IntegerName::Long) => Some(Type::Integer(self.model.long())),
            TypeName::Enumeration(constants) => {
                if let Some(constants) = constants {
                    self.enumeration(constants);
                }
                Some(Type::Integer(self.model.int()))
            }
            TypeName::Record { is_union, tag, fields, span } => {
                self.record(*is_union, tag.as_deref(), fields.as_deref(), *span)
            }
            TypeName::Named(name, span) => match self.types.get(name) {
                Some(known) => Some(known.clone()),
                None => self.wrong(*span, format!("{name} is no type"), "expected a type"),
            },
        }
    }

    /// The type of a name: the type before it, with its stars and brackets.
    pub(super) fn type_of_name(&mut self, base: &Type, name: &Declarator) -> Option<Type> {
        let mut of = base.clone();
        for _ in 0..name.pointers {
            of = Type::Pointer(Box::new(of), self.model);
        }
        // The last bracket belongs to the innermost array.
        for dimension in name.dimensions.iter().rev() {
            let count = match dimension {
                Some(count) => self.constant(count)?,
                None => 0,
            };
            if self.records.size(&of).is_none() {
                let problem = format!("there can be no array of {}", self.records.describe(&of));
                return self.wrong(name.span, problem, "its elements have no size");
            }
            of = Type::Array(Box::new(of), count);
        }
        if depth(&of) > MAX_DEPTH {
            return self.wrong(name.span, "this type is nested too deep", "at most 32 levels");
        }
        Some(of)
    }

    /// The type of a parameter or of a cast, where arrays become pointers.
    pub(super) fn parameter(&mut self, parameter: &Parameter) -> Option<Type> {
        let Some(base) = self.base(&parameter.base) else {
            let label = "expected an integer, a pointer or a string";
            return self.wrong(parameter.name.span, "this can't be a parameter", label);
        };
        let of = self.type_of_name(&base, &parameter.name)?;
        Some(self.decayed(of))
    }

    /// Turns an array type into a pointer to its elements.
    pub(super) fn decayed(&self, of: Type) -> Type {
        match of {
            Type::Array(of, _) => Type::Pointer(of, self.model),
            other => other,
        }
    }

    fn enumeration(
        &mut self,
        constants: &[(String, Span, Option<super::super::tree::Expression>)],
    ) {
        let mut next = 0_u64;
        for (name, span, value) in constants {
            if let Some(value) = value {
                next = self.constant(value).unwrap_or(next);
            }
            self.define(name, *span, Entity::Constant(next));
            next = next.wrapping_add(1);
        }
    }

    fn record(
        &mut self,
        is_union: bool,
        tag: Option<&str>,
        fields: Option<&[Declaration]>,
        span: Span,
    ) -> Option<Type> {
        let known = tag.and_then(|tag| self.tags.get(tag).copied());
        let index = known.unwrap_or_else(|| {
            let tag = tag.unwrap_or_default().to_owned();
            self.records.0.push(Record { tag, is_union, ..Record::default() });
            self.records.0.len() - 1
        });
        if let Some(tag) = tag {
            self.tags.insert(tag.to_owned(), index);
        }
        let Some(fields) = fields else { return Some(Type::Record(index)) };
        if self.records.0.get(index).is_some_and(|record| record.fields.is_some()) {
            let problem =
                format!("{} is defined twice", self.records.describe(&Type::Record(index)));
            return self.wrong(span, problem, "here again");
        }
        let mut placed = Placed::default();
        for declaration in fields {
            self.fields(is_union, declaration, &mut placed)?;
        }
        let size = placed.size.max(placed.layout.size()).next_multiple_of(placed.align.max(1));
        if size > MAX_SIZE {
            return self.wrong(span, "this structure is too large", "at most 4 GiB");
        }
        if let Some(record) = self.records.0.get_mut(index) {
            record.fields = Some(placed.fields);
            (record.size, record.align) = (size, placed.align.max(1));
        }
        Some(Type::Record(index))
    }

    /// Adds the fields of one declaration to a structure.
    fn fields(
        &mut self,
        is_union: bool,
        declaration: &Declaration,
        into: &mut Placed,
    ) -> Option<()> {
        let Some(base) = self.base(&declaration.base) else {
            let label = "expected an integer, a pointer, an array or a structure";
            return self.wrong(declaration.span, "this can't be in a structure", label);
        };
        if declaration.names.is_empty() && matches!(base, Type::Record(_)) {
            return self.field(is_union, &base, None, declaration.span, into);
        }
        for name in &declaration.names {
            let of = self.type_of_name(&base, name)?;
            self.field(is_union, &of, Some(name), name.span, into)?;
        }
        Some(())
    }

    fn field(
        &mut self,
        is_union: bool,
        of: &Type,
        name: Option<&Declarator>,
        span: Span,
        into: &mut Placed,
    ) -> Option<()> {
        let Some(size) = self.records.size(of) else {
            let problem = format!("a structure can't hold {}", self.records.describe(of));
            return self.wrong(span, problem, "it has no size here");
        };
        if is_union {
            into.layout = Layout::default();
        }
        let align = self.records.align(of);
        let mut bits = None;
        let offset = match name {
            Some(Declarator { bits: Some(width), .. }) => {
                let width = self.constant(width)?;
                if width > size * 8 || !matches!(of, Type::Integer(_)) {
                    let problem = format!("this field can't have {width} bits");
                    return self.wrong(span, problem, "expected at most as many as its type has");
                }
                let (offset, first) = into.layout.place_bits(size, width);
                bits = Some((first, width as u8));
                offset
            }
            Some(Declarator { offset: Some(offset), .. }) => {
                let offset = self.constant(offset)?;
                if offset > MAX_SIZE || !into.layout.place_at(offset, size) {
                    let problem = "offsets must not decrease";
                    return self.wrong(
                        span,
                        problem,
                        "this lies before the end of the field before",
                    );
                }
                offset
            }
            _ => into.layout.place(size, align),
        };
        if into.layout.size() > MAX_SIZE {
            return self.wrong(span, "this structure is too large", "at most 4 GiB");
        }
        into.size = into.size.max(into.layout.size());
        into.align = into.align.max(align);
        let field = name.map_or("", |name| &name.name).to_owned();
        // A bit-field without a name only takes up space.
        if bits.is_some() && field.is_empty() {
            return Some(());
        }
        if !field.is_empty() && !into.names.insert(field.clone()) {
            return self.wrong(span, format!("{field} is there twice"), "expected another name");
        }
        into.fields.push(Field { name: field, of: of.clone(), offset, bits });
        Some(())
    }

    /// A field of a structure; reports an error if there is none with this name.
    pub(super) fn field_named(&mut self, record: usize, name: &str, span: Span) -> Option<Field> {
        if let Some(field) = self.records.field(record, name) {
            return Some(field);
        }
        let what = self.records.describe(&Type::Record(record));
        if self.records.0.get(record).is_none_or(|record| record.fields.is_none()) {
            let problem = format!("{what} is not defined");
            return self.wrong(span, problem, "expected a definition with its fields before this");
        }
        let near = nearest(name, self.records.fields(record)).map(str::to_owned);
        let problem = format!("{what} has no field {name}");
        self.fail(
            Diagnostic::error(span, problem, "expected one of its fields")
                .suggesting(near.as_deref()),
        )
    }

    /// `memmodel guest64`: sets the memory model of the items that follow.
    pub(super) fn memory_model(&mut self, name: &str, span: Span) {
        let models = super::super::vocabulary::MODELS;
        match models.iter().find(|(known, _)| *known == name) {
            Some((_, Some(model))) => self.model = *model,
            Some((_, None)) => self.problems.report(
                Diagnostic::error(
                    span,
                    format!("memory model {name} is not available: there is no hypervisor memory"),
                    "expected a model of the guest's memory",
                )
                .with_help("leave it out: guest64 is the default"),
            ),
            None => {
                let near = nearest(name, models.iter().map(|(known, _)| *known));
                self.problems.report(
                    Diagnostic::error(
                        span,
                        format!("unknown memory model {name}"),
                        "expected guest16, guest32, guest64 or guestphys",
                    )
                    .suggesting(near),
                );
            }
        }
    }

    /// The memory model of a pointer type; the current model for any other type.
    pub(super) fn model_of(&self, of: &Type) -> Model {
        match of {
            Type::Pointer(_, model) => *model,
            _ => self.model,
        }
    }
}

/// The fields of a structure, with the layout so far.
#[derive(Default)]
struct Placed {
    fields: Vec<Field>,
    names: std::collections::HashSet<String>,
    layout: Layout,
    size: u64,
    align: u64,
}

fn depth(of: &Type) -> usize {
    let mut depth = 0;
    let mut at = of;
    while let Type::Pointer(of, _) | Type::Array(of, _) = at {
        (at, depth) = (of, depth + 1);
    }
    depth
}
