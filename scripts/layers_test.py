#!/usr/bin/env python3
"""Holds scripts/layers.py to its word: a line that breaks a rule makes it fail, and names the line."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Layers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("src", "go", "include", "docs"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("*.a", "*.png"))

    def check(self):
        return subprocess.run(
            [sys.executable, "-B", ROOT / "scripts/layers.py", self.root], capture_output=True, text=True, timeout=60, check=False
        )

    def add(self, name, line):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line + "\n" + (path.read_text() if path.exists() else ""))

    def refuses(self, name, line, *words):
        """The tree with this line more is refused, with a message that has the name and the words."""
        before = self.check()
        self.add(name, line)
        after = self.check()
        self.assertEqual(after.returncode, 1, after)
        new = set(after.stdout.splitlines()) - set(before.stdout.splitlines())
        for word in words:
            self.assertIn(word, "\n".join(new))

    def test_the_tree_as_it_is_passes(self):
        result = self.check()
        self.assertEqual((result.stdout, result.returncode), ("", 0))

    def test_an_upward_import(self):
        self.refuses("src/tables/stacks.rs", "use crate::snapshot::sort;", "src/tables/stacks.rs:1:", "upward import")

    def test_an_upward_import_inside_a_group(self):
        self.refuses("src/sys/mod.rs", "use crate::{sys::lock, record::{self, sampler}};", "src/sys/mod.rs:1:", "upward import")

    def test_an_upward_path_without_use(self):
        self.refuses("src/unwind/mod.rs", "fn x() { crate::record::settings::y() }", "upward import")

    def test_an_import_from_one_face_to_the_other(self):
        self.refuses("src/hook/mod.rs", "use crate::ffi::Code;", "upward import")

    def test_a_circle_within_a_layer(self):
        self.add("src/profile/one.rs", "use super::two::X;")
        self.refuses("src/profile/two.rs", "use crate::profile::one::Y;", "src/profile/one.rs:1: circle", "src/profile/two.rs:1: circle")

    def test_assembly_outside_sys(self):
        self.refuses("src/record/mod.rs", 'fn x() { unsafe { asm!("nop") } }', "'asm!'", "src/sys/")

    def test_a_system_call_number_outside_sys(self):
        self.refuses("src/record/mod.rs", "const X: i64 = libc::SYS_futex;", "SYS_futex")

    def test_a_processor_in_a_condition_outside_sys(self):
        self.refuses("src/unwind/mod.rs", "#[cfg(target_arch = \"aarch64\")]", "target_arch")

    def test_a_name_of_glibc_outside_sys(self):
        self.refuses("src/hook/backing.rs", 'unsafe extern "C" { fn __libc_malloc(n: usize); }', "__libc_malloc")

    def test_a_processor_in_a_build_tag(self):
        self.refuses("go/look/extra.go", "//go:build linux && arm64\n\npackage look", "go/look/extra.go:1:")

    def test_a_processor_in_the_name_of_a_file(self):
        self.refuses("go/look/extra_arm64.go", "package look", "go/look/extra_arm64.go:1:")

    def test_a_processor_in_the_build_tag_of_a_go_test(self):
        self.refuses("go/extra_test.go", "//go:build arm64\n\npackage cgoheap", "lost on the next processor")

    def test_a_processor_in_the_header(self):
        self.refuses("include/cgoheap.h", "#ifdef __aarch64__", "include/cgoheap.h:1:")

    def test_a_file_of_one_platform_that_the_list_lacks(self):
        self.refuses("src/sys/arch/x86_64/extra.rs", "", "isn't in the list of docs/platforms.md")

    def test_a_platform_that_lacks_a_listed_file(self):
        self.refuses("src/sys/libc/another/mod.rs", "", "lacks ")

    def test_comments_and_tests_may_say_it(self):
        self.add("src/record/mod.rs", "// __libc_malloc, SYS_futex, crate::snapshot::sort")
        self.add("go/look/look.go", "// amd64")
        self.assertEqual(self.check().stdout, "")


unittest.main()
