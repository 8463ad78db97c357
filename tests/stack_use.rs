//! How much of its caller's stack a hook takes: at most 1 KiB, since programs call malloc on stacks that have little more.
//!
//! Two ways of knowing. A program paints a stack before each call, on every path that a program can lead to. And the archive's own
//! code is read, for those that none can: the room that each function takes and what it refers to give the deepest way from each
//! hook. What spare stacks are for (`src/sys/spare_stack.rs`) is counted apart.

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;

use object::{Object, ObjectSection, ObjectSymbol};
use support::archive_build;

/// Bytes that a hook may take.
const MOST: usize = 1024;
/// Bytes that asprintf and vasprintf may take: libc's own take more.
const MOST_FORMATTING: usize = 1536;
/// Bytes that work on a spare stack may take: the rest of its 16 KiB is for a signal that can't wait.
const MOST_SPARE: usize = 8 * 1024;
/// What libc's function takes that a walk asks which object holds an address, and more than any other that a hook calls for its own
/// purposes.
const MOST_OUTSIDE: usize = 96;

/// The backing function of cgoheap_asprintf and its relatives: its use is the program's affair too.
const FORMATS: &str = "vasprintf";

#[test]
fn a_hook_takes_little_of_its_callers_stack_on_every_path() {
    archive_build("stack_use.c", &["-O1", "-fno-builtin"], |command| {
        let folder = support::folder("stack_use");
        let settings = format!("rate=1,speed=1,dump={}/,limit=1MiB,grow=1.5", folder.display());
        let out = support::succeed(command.env("CGOHEAP", settings));
        assert!(String::from_utf8_lossy(&out.stderr).contains("speed=1"), "no warning");
    });
}

#[test]
fn stacks_that_are_large_enough_for_libcs_malloc_are_large_enough() {
    for options in [&[][..], support::WHOLE_PROCESS] {
        archive_build(
            "small_stacks.c",
            &[&["-O1", "-fno-builtin"][..], options].concat(),
            |command| {
                support::succeed(command.env("CGOHEAP", "rate=1"));
            },
        );
    }
}

/// A function as objdump shows it.
#[derive(Default)]
struct Function {
    /// Bytes that it takes at most, with its return address.
    frame: usize,
    /// Names that it refers to: calls, jumps, addresses.
    refers_to: HashSet<String>,
    /// Whether it calls itself.
    recursive: bool,
    /// Names outside the archive that it calls by way of a table that the loader may fill at the first call, on the caller's stack.
    lazily: HashSet<String>,
}

/// All functions by one of their names, and for each other name of one, and for each section, the function that it means.
struct Code {
    functions: BTreeMap<String, Function>,
    also: HashMap<String, String>,
}

impl Code {
    fn read() -> Code {
        let out = support::succeed(
            Command::new("objdump")
                .args(["-drw", "--no-show-raw-insn"])
                .arg(support::archive_with_names()),
        );
        let text = String::from_utf8(out.stdout).expect("text");
        let (mut functions, mut also) = (BTreeMap::<String, Function>::new(), HashMap::new());
        let (mut section, mut name) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(found) = line.strip_prefix("Disassembly of section ") {
                section = found.trim_end_matches(':').to_owned();
            } else if let Some((_, label)) = line.split_once(" <").filter(|_| line.ends_with(">:")) {
                let label = label.trim_end_matches(">:");
                if !label.starts_with(".L") {
                    name = label.to_owned();
                    also.entry(section.clone()).or_insert_with(|| name.clone());
                    functions.entry(name.clone()).or_default().frame += 8;
                }
            } else if let Some(function) = functions.get_mut(&name) {
                function.read_line(&name, line);
            }
        }
        // Of functions with the same code one is left, with all their names.
        let bytes = std::fs::read(support::archive_with_names()).expect("the archive's object");
        let file = object::File::parse(&*bytes).expect("an ELF object");
        for symbol in file.symbols() {
            let section = symbol
                .section_index()
                .and_then(|index| file.section_by_index(index).ok());
            let (Ok(name), Some(Ok(section))) = (symbol.name(), section.as_ref().map(|section| section.name())) else {
                continue;
            };
            if let Some(function) = also.get(section).filter(|_| !functions.contains_key(name)).cloned() {
                also.insert(name.to_owned(), function);
            }
        }
        Code { functions, also }
    }

    /// The deepest way from `name` on, without what `apart` says: its bytes, and the functions on it.
    fn deepest(&self, name: &str, apart: &dyn Fn(&str) -> bool, known: &mut HashMap<String, Deepest>) -> Deepest {
        match known.get(name) {
            Some(Deepest { way, .. }) if way.is_empty() => {
                panic!("{name} calls itself, by whatever way: no bound is known")
            }
            Some(deepest) => return deepest.clone(),
            None => known.insert(name.to_owned(), Deepest::default()),
        };
        let function = &self.functions[name];
        assert!(!function.recursive, "{name} calls itself: no bound is known");
        let mut below = Deepest::default();
        for target in &function.refers_to {
            let target = self.also.get(target).unwrap_or(target);
            let next = match self.functions.get(target) {
                None if target.starts_with('.') || target == "__libc_stack_end" => continue, // data
                None if function.lazily.contains(target) && target != FORMATS => {
                    panic!(
                        "{name} calls {target} by a name that may be looked up at the first call, on the caller's stack"
                    )
                }
                None => Deepest {
                    bytes: MOST_OUTSIDE,
                    way: vec![target.clone()],
                },
                Some(_) if target == name || support::panics(target) || apart(target) => continue,
                Some(_) => self.deepest(target, apart, known),
            };
            if next.bytes > below.bytes {
                below = next;
            }
        }
        let mut way = vec![format!("{name} {}", function.frame)];
        way.extend(below.way);
        let deepest = Deepest {
            bytes: below.bytes + function.frame,
            way,
        };
        known.insert(name.to_owned(), deepest.clone());
        deepest
    }
}

#[derive(Clone, Default)]
struct Deepest {
    bytes: usize,
    way: Vec<String>,
}

impl Function {
    fn read_line(&mut self, name: &str, line: &str) {
        let instruction = line.split('\t').nth(1).unwrap_or_default();
        if instruction.starts_with("push") {
            self.frame += 8;
        }
        if instruction.starts_with("and ") && instruction.ends_with(",%rsp") {
            self.frame += 8; // what aligning may take
        }
        let subtracted = instruction.strip_prefix("sub ").and_then(|rest| {
            let number = rest.trim().strip_prefix("$0x")?.strip_suffix(",%rsp")?;
            usize::from_str_radix(number, 16).ok()
        });
        self.frame += subtracted.unwrap_or(0);
        self.recursive |= instruction.starts_with("call") && instruction.ends_with(&format!("<{name}>"));
        if let Some((_, relocation)) = line.split_once("R_X86_64_") {
            let symbol = relocation.split_whitespace().nth(1).unwrap_or_default();
            let end = symbol
                .rfind(['+', '-'])
                .filter(|&end| symbol[end + 1..].starts_with("0x"));
            let symbol = &symbol[..end.unwrap_or(symbol.len())];
            self.refers_to.insert(symbol.to_owned());
            if relocation.starts_with("PLT32") {
                self.lazily.insert(symbol.to_owned());
            }
        } else if let Some((_, target)) = instruction.split_once('<') {
            let target = target.trim_end_matches('>');
            if target != name && !target.contains('+') {
                self.refers_to.insert(target.to_owned());
            }
        }
    }
}

/// Work on a spare stack begins in a function of this name.
fn is_spare(name: &str) -> bool {
    name.contains("on_spare_stack")
}

#[test]
fn no_way_from_a_hook_leads_deeper() {
    let code = Code::read();
    // The backing allocator's own use is the program's affair; a table of functions is data, so it isn't followed here.
    let hooks: Vec<_> = code
        .functions
        .keys()
        .filter(|name| support::is_hook(name))
        .cloned()
        .collect();
    assert!(hooks.len() > 20, "hooks are known by their names: {hooks:?}");
    let mut known = HashMap::new();
    for hook in &hooks {
        let deepest = code.deepest(hook, &is_spare, &mut known);
        let most = if hook.contains("asprintf") {
            MOST_FORMATTING
        } else {
            MOST
        };
        assert!(
            deepest.bytes <= most,
            "{hook} may take {} bytes of its caller's stack, by way of\n{}",
            deepest.bytes,
            deepest.way.join("\n")
        );
    }
    let spare: Vec<_> = code.functions.keys().filter(|name| is_spare(name)).cloned().collect();
    assert!(spare.len() > 2, "work on spare stacks is known by its name: {spare:?}");
    let mut known = HashMap::new();
    for work in &spare {
        let deepest = code.deepest(work, &|_| false, &mut known);
        assert!(
            deepest.bytes <= MOST_SPARE,
            "{} bytes of a spare stack, by way of\n{}",
            deepest.bytes,
            deepest.way.join("\n")
        );
    }
    let deepest = |known: &HashMap<String, Deepest>| known.values().map(|deepest| deepest.bytes).max();
    println!("on spare stacks at most {:?} bytes", deepest(&known));
    // The same reading finds what is there: reading a table takes more than a caller's stack has.
    assert!(
        deepest(&known) > Some(MOST),
        "the work that spare stacks are for isn't seen"
    );
}
