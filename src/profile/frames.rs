//! Which frames a person sees: where the redirected call, C and Go meet.
//!
//! A captured stack of `C.CString` in a Go function `main.leak`, leaf first, and what is shown of it:
//!
//! ```text
//!   captured                                                      shown
//!   site  _cgo_1a2b_Cfunc__Cmalloc  _cgo_export.c:48   ┐
//!   C     _cgo_1a2b_Cfunc__Cmalloc  (the stub)         │
//!   C     runtime.asmcgocall                           │
//!   Go    runtime.cgocall                              ├───────>  C.CString   main.go:7
//!   Go    main._cgo_cmalloc         _cgo_gotypes.go    │
//!   Go    main._Cfunc_CString       _cgo_gotypes.go    ┘
//!   Go    main.leak                 main.go:7          ────────>  main.leak   main.go:7
//!   Go    main.main                 main.go:12         ────────>  main.main   main.go:12
//! ```
//!
//! The rules, in the order in which they are applied:
//!
//! 1. **Leaf.** A redirected call brought its file, line and function along, which are exact even in a stripped
//!    program: they are the innermost line. What debug information says of the same call makes way for it; functions
//!    that the call's function was inlined into, or that jumped to it by a tail call, stay below.
//! 2. **Allocator.** Without such a site, leading frames of the malloc family and of our own are cut.
//! 3. **Crossing.** The runtime's frames of a call from Go to C, or from C back to Go, are cut; of a Go function that is
//!    exported to C also what cgo generates under the same name in C, which only passes the call on. `runtime.goexit`
//!    and wrappers that Go's compiler wrote are cut as Go's own profiles do.
//! 4. **Stubs.** What cgo generates for a call, a C function and up to two Go functions, becomes one frame `C.x`, at the line of
//!    the Go code that wrote `C.x`.
//! 5. **Marks.** Where the caller of a frame was found by the frame pointer, for want of an unwind table, a line between the two says so.
//! 6. **End.** A stack that was cut short has a last frame that says why; one without frames says so too.
//!
//! Nothing else is ever cut: the user's frames on both sides stay. A stack of which nothing would be left keeps its
//! last frame.

use std::rc::Rc;

use super::{Line, Names, Place};
use crate::snapshot::{OTHER_STACKS, StackRecord};
use crate::sys::own_names;
use crate::tables::stacks::Site;

/// What is shown of one frame's line.
enum Shown {
    /// The address; nobody knows a name.
    Bare,
    /// The frame's line with this index, as it is.
    Named(usize),
    /// A line of ours.
    Made(Line),
}

/// One line of the stack, and the frame that it belongs to.
struct Row {
    /// Index into the record's frames; `None` when there is no frame (a site alone).
    at: Option<usize>,
    shown: Shown,
}

/// The places of one stack, leaf first; never empty.
pub(super) fn places(record: &StackRecord, names: &Names) -> Vec<Place> {
    let stack = Stack {
        record,
        lines: lines_of(record, names),
    };
    let rows = stack.rows();
    if rows.is_empty() {
        // Number 0 collects what came when the table of stacks was full.
        return vec![made(match record.id {
            0 => "[stacks beyond the limit]",
            OTHER_STACKS => "[other]",
            _ => "[no stack]",
        })];
    }
    let last = rows.len() - 1;
    let mut leaf = record.site.is_none();
    // The exported Go function whose callback is being cut.
    let mut exported: Option<String> = None;
    let mut kept = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let name = stack.line(&row).map_or("", |line| &line.function);
        let crossing = is_runtime_crossing(name);
        let wrapper = !stack.is_go(&row) && exported.as_deref() == Some(name);
        let file = stack.line(&row).map_or("", |line| &line.file);
        let allocator = is_allocator(name) || is_rust_allocator(file);
        let gone = crossing || wrapper || stack.is_go_machinery(&row) || (leaf && allocator);
        if let Some(function) = generated(name, EXPORTED) {
            exported = Some(function.to_owned());
        } else if !crossing {
            exported = None;
        }
        leaf &= gone;
        if !gone || (index == last && kept.is_empty()) {
            kept.push(row);
        }
    }
    let mut places = stack.assemble(stack.join_stubs(kept));
    if let Some(why) = record.end.describe() {
        places.push(made(&format!("[stack cut: {why}]")));
    }
    places
}

/// A frame that exists in no program.
fn made(text: &str) -> Place {
    Place {
        frame: None,
        lines: [made_line(text)].into(),
    }
}

fn made_line(text: &str) -> Line {
    Line {
        function: text.to_owned(),
        system_name: text.to_owned(),
        ..Line::default()
    }
}

fn lines_of(record: &StackRecord, names: &Names) -> Vec<Rc<[Line]>> {
    record
        .frames
        .iter()
        .map(|frame| names.get(frame).cloned().unwrap_or_default())
        .collect()
}

struct Stack<'a> {
    record: &'a StackRecord,
    /// What is known of each frame.
    lines: Vec<Rc<[Line]>>,
}

impl Stack<'_> {
    fn line<'a>(&'a self, row: &'a Row) -> Option<&'a Line> {
        match &row.shown {
            Shown::Bare => None,
            Shown::Named(index) => Some(&self.lines[row.at?][*index]),
            Shown::Made(line) => Some(line),
        }
    }

    fn is_go(&self, row: &Row) -> bool {
        row.at.is_some_and(|at| self.record.frames[at].is_go())
    }

    /// What Go's own profiles leave out too: where every goroutine begins, and wrappers that the compiler wrote.
    fn is_go_machinery(&self, row: &Row) -> bool {
        self.is_go(row)
            && self
                .line(row)
                .is_some_and(|line| line.function == "runtime.goexit" || line.file == "<autogenerated>")
    }

    /// Every line of every frame, with rule 1 applied.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut first = 0;
        if let Some(site) = &self.record.site {
            let known: &[Line] = self.lines.first().map_or(&[], |lines| lines);
            let (line, replaced) = site_line(site, known);
            let at = (!self.lines.is_empty()).then_some(0);
            rows.push(Row {
                at,
                shown: Shown::Made(line),
            });
            rows.extend((replaced..known.len()).map(|i| Row {
                at,
                shown: Shown::Named(i),
            }));
            first = 1;
        }
        for (at, lines) in self.lines.iter().enumerate().skip(first) {
            if let Some(mark) = self.record.frames[at].mark() {
                let line = made_line(mark);
                rows.push(Row {
                    at: None,
                    shown: Shown::Made(line),
                });
                continue;
            }
            let at = Some(at);
            if lines.is_empty() {
                rows.push(Row { at, shown: Shown::Bare });
            }
            rows.extend((0..lines.len()).map(|i| Row {
                at,
                shown: Shown::Named(i),
            }));
        }
        rows
    }

    /// Rule 4. A group is at most one C stub and the Go stubs around it; either side may be missing: the C one when
    /// it ended in a jump, the Go ones when Go frames are off.
    fn join_stubs(&self, rows: Vec<Row>) -> Vec<Row> {
        let mut out: Vec<Row> = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let go_half = self.line(&row).and_then(|line| go_stub(&line.function));
            let c_half = self.line(&row).and_then(|line| c_stub(&line.function));
            let Some(called) = go_half.or(c_half) else {
                out.push(row);
                continue;
            };
            // The outermost Go stub is the one that the user called: C.CString calls _cgo_cmalloc.
            let (mut at, mut called) = (row.at, called.to_owned());
            while let Some(next) = rows.peek()
                && let Some(outer) = self.line(next).and_then(|line| go_stub(&line.function))
            {
                called = outer.to_owned();
                at = next.at;
                rows.next();
            }
            let caller = rows.peek().filter(|next| self.is_go(next));
            let caller = caller.and_then(|next| self.line(next));
            let function = format!("C.{called}");
            out.push(Row {
                at,
                shown: Shown::Made(Line {
                    system_name: function.clone(),
                    function,
                    file: caller.map(|line| line.file.clone()).unwrap_or_default(),
                    line: caller.map_or(0, |line| line.line),
                    start_line: 0,
                }),
            });
        }
        out
    }

    /// Lines of the same frame become one place.
    fn assemble(&self, rows: Vec<Row>) -> Vec<Place> {
        let mut places = Vec::new();
        let mut rows = rows.into_iter().peekable();
        while let Some(first) = rows.next() {
            let at = first.at;
            let mut shown = vec![first.shown];
            while let Some(next) = rows.next_if(|next| next.at == at) {
                shown.push(next.shown);
            }
            places.push(Place {
                frame: at.map(|at| self.record.frames[at]),
                lines: self.lines_of_place(at, shown),
            });
        }
        places
    }

    /// Shares the frame's own lines where nothing was changed, which is nearly always.
    fn lines_of_place(&self, at: Option<usize>, shown: Vec<Shown>) -> Rc<[Line]> {
        if let Some(at) = at {
            let known = &self.lines[at];
            let whole = shown.len() == known.len()
                && shown
                    .iter()
                    .enumerate()
                    .all(|(i, s)| matches!(s, Shown::Named(n) if *n == i));
            if whole {
                return known.clone();
            }
        }
        shown
            .into_iter()
            .filter_map(|shown| match shown {
                Shown::Bare => None,
                Shown::Named(index) => Some(self.lines[at?][index].clone()),
                Shown::Made(line) => Some(line),
            })
            .collect()
    }
}

/// Rule 1: the line for a redirected call, and how many of the innermost `known` lines it replaces.
fn site_line(site: &Site, known: &[Line]) -> (Line, usize) {
    let function = String::from_utf8_lossy(site.function).into_owned();
    let mut line = Line {
        system_name: function.clone(),
        function,
        file: String::from_utf8_lossy(site.file).into_owned(),
        line: site.line,
        start_line: 0,
    };
    // The line of the site's function, wherever in the inlining it is: what lies further in (a wrapper in the header,
    // say) is how the call is made, not where. A function of another name is no part of the call: it either had the
    // site's function inlined, or the site's function left its frame by a tail call and this is the caller. Being in
    // the same file says nothing, since both are the usual case within one file; being at the very line does.
    let same = known
        .iter()
        .position(|known| is_function(known, &line.function))
        .or_else(|| {
            let first = known.first()?;
            (first.line == line.line && same_file(&first.file, &line.file)).then_some(0)
        });
    let Some(same) = same else {
        return (line, 0);
    };
    // Debug information knows the longer names: the folder of the file, the class of the function.
    let known = &known[same];
    if same_file(&known.file, &line.file) && known.file.len() > line.file.len() {
        line.file.clone_from(&known.file);
    }
    if line.function.is_empty() || !known.file.is_empty() {
        line.function.clone_from(&known.function);
        line.system_name.clone_from(&known.system_name);
        line.start_line = known.start_line;
    }
    (line, same + 1)
}

/// Whether one path is the other or its end.
fn same_file(a: &str, b: &str) -> bool {
    let is_tail = |long: &str, short: &str| {
        let short = short.trim_start_matches("./");
        !short.is_empty()
            && long
                .strip_suffix(short)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    is_tail(a, b) || is_tail(b, a)
}

/// Whether `line` is the function that calls itself `function` (the value of `__func__`).
fn is_function(line: &Line, function: &str) -> bool {
    // A compiler's copies of a function are called f.constprop.0, f.part.1, f.cold.
    let original = |name: &str| name.split('.').next() == Some(function);
    !function.is_empty()
        && (line.function == function
            || original(&line.function)
            || original(&line.system_name)
            || is_last_name(&line.function, function))
}

/// Whether `function` is the last name in a demangled C++ or Rust name: `f` in `T* ns::Class<X>::f<int>(int) const`.
fn is_last_name(demangled: &str, function: &str) -> bool {
    demangled.match_indices(function).any(|(at, _)| {
        let (before, after) = (&demangled[..at], &demangled[at + function.len()..]);
        let begins = before.ends_with("::") || before.ends_with([' ', '*', '&']);
        let count = |c: char| before.matches(c).count();
        let outside = count('(') == count(')') && count('<') == count('>');
        begins && outside && ends_name(after)
    })
}

/// Whether `after` holds nothing but template arguments, parameters and qualifiers.
fn ends_name(mut after: &str) -> bool {
    for (open, close) in [('[', ']'), ('<', '>'), ('(', ')')] {
        if after.starts_with(open) {
            let mut depth = 0;
            let end = after.find(|c| {
                depth += i32::from(c == open) - i32::from(c == close);
                depth == 0
            });
            let Some(end) = end else { return false };
            after = &after[end + 1..];
        }
    }
    after.is_empty() || after.starts_with([' ', '.'])
}

/// Rule 2. `operator new` is not in the list: a C++ programmer wrote it (or sees it in `std::vector`), and what is
/// allocated by it must not be freed by `free`, which a reader of the profile may want to know. Neither is `strdup` or
/// its like, which shows only when the whole process is captured, and says what the block is.
fn is_allocator(function: &str) -> bool {
    const FAMILY: [&str; 9] = [
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "posix_memalign",
        "aligned_alloc",
        "memalign",
        "valloc",
        "pvalloc",
    ];
    const OUR_OWN: [&str; 3] = ["cgoheap_", "cgoheap::", "<cgoheap::"];
    /// Between `Box::new` or a collection, which stay, and the global allocator.
    const RUST: [&str; 6] = [
        "__rust_",
        "__rustc::",
        "__rg_",
        "alloc::alloc::",
        "<alloc::alloc::Global as ",
        "<alloc::alloc::Global>::",
    ];
    let base = function
        .strip_prefix(own_names::PREFIX)
        .or(function.strip_prefix("__"))
        .unwrap_or(function);
    FAMILY.contains(&base)
        || OUR_OWN.iter().any(|prefix| function.starts_with(prefix))
        || RUST.iter().any(|prefix| function.starts_with(prefix))
}

/// Rule 2 for Rust, by file: Rust's brief debug information has names without their path (`alloc`, `{closure#0}`). What the
/// standard library's `alloc.rs` holds lies between `Box::new` or a collection and the global allocator.
fn is_rust_allocator(file: &str) -> bool {
    file.ends_with("/src/hook/global_alloc.rs") || file.ends_with("/library/alloc/src/alloc.rs")
}

/// Rule 3: frames that Go's runtime puts between Go and C.
fn is_runtime_crossing(function: &str) -> bool {
    // The symbol table's name for an assembly function, where Go's own tables leave the suffix out.
    let function = function.strip_suffix(".abi0").unwrap_or(function);
    matches!(
        function,
        "runtime.cgocall" | "runtime.asmcgocall" | "runtime.asmcgocall_landingpad" | "crosscall2"
    ) || function.starts_with("runtime.cgocallback")
        || generated(function, EXPORTED).is_some()
}

/// Begins the name of the Go function that cgo generates for an exported one.
const EXPORTED: &str = "_cgoexp_";

/// The rest of a name that cgo generated: `f` in `_cgoexp_<hash>_f`.
fn generated<'a>(function: &'a str, prefix: &str) -> Option<&'a str> {
    let (hash, rest) = function.strip_prefix(prefix)?.split_once('_')?;
    let is_hash = !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hash && !rest.is_empty()).then_some(rest)
}

/// Rule 4, C side: `x` for `_cgo_<hash>_Cfunc_x`, or `_cgo_<hash>_C2func_x` where the Go code also takes errno.
fn c_stub(function: &str) -> Option<&str> {
    let rest = generated(function, "_cgo_")?;
    // Cut off what a compiler adds for a part of it: .cold, .part.0.
    c_name(rest.split('.').next()?)
}

/// Rule 4, Go side: `x` for `path/of/pkg._Cfunc_x`, and for the helper that `C.malloc`, `C.CString` and `C.CBytes`.
fn go_stub(function: &str) -> Option<&str> {
    let function = function.strip_suffix(".abi0").unwrap_or(function);
    // Dots within the last element of a package's path are escaped, so the first one ends it.
    let base = function.rsplit_once('/').map_or(function, |(_, base)| base);
    match base.split_once('.')?.1 {
        "_cgo_cmalloc" => Some("malloc"),
        name => c_name(name.strip_prefix('_')?),
    }
}

fn c_name(stub: &str) -> Option<&str> {
    match stub.strip_prefix("Cfunc_").or_else(|| stub.strip_prefix("C2func_"))? {
        "" => None,
        "_CMalloc" | "_Cmalloc" => Some("malloc"),
        name => Some(name),
    }
}

#[cfg(test)]
mod tests;
