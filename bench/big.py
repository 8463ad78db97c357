#!/usr/bin/env python3
"""Writes a Go program of some size, for measuring the first profile of a large binary.

usage: big.py FOLDER PACKAGES REPOSITORY

Each package has 500 functions that do a little of everything, all reachable through a table, so that the linker keeps them
with their debug information. 14 packages make about 20 MB of program, 205 about 200 MB.
"""

import pathlib
import sys

FUNCTIONS = 500

FUNCTION = """
func f{n}(x int, name string, m map[string]int) (int, error) {{
	total := x
	for i, r := range name {{
		switch {{
		case r == '{c}' && i > {n}:
			m[name[:i]] += int(r)
		case i%{k} == 0:
			total += len(strings.ToUpper(name)) + m[name]
		default:
			total ^= i << {s}
		}}
	}}
	v := value{t}{{name: name, count: total, parts: []string{{"p{n}", name}}}}
	if v.count > {n}{n} {{
		return 0, fmt.Errorf("f{n}: %s has %d of %v", v.name, v.count, v.parts)
	}}
	s := fmt.Sprint(v.sum(), strconv.Itoa(total), strings.Join(v.parts, "{n}"))
	sort.Strings(v.parts)
	return len(s) + v.sum(), nil
}}
"""

TYPE = """
type value{t} struct {{
	name  string
	count int
	parts []string
	next  *value{t}
}}

func (v *value{t}) sum() int {{
	n := v.count
	for at := v; at != nil; at = at.next {{
		n += len(at.name) + {t}
	}}
	return n
}}
"""

MAIN = """package main

/*
#include <stdlib.h>
static void *__attribute__((noinline)) keep(size_t size) {{ return malloc(size); }}
static void *__attribute__((noinline)) make(size_t size) {{ void *volatile block = keep(size); return block; }}
static void *__attribute__((noinline)) make_more(size_t size) {{ void *volatile block = keep(size + 1); return block; }}
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"

{imports}
)

type table = []func(int, string, map[string]int) (int, error)

var tables = []table{{{tables}}}

// status is a number of /proc/self/status, in bytes.
func status(name string) (n int64) {{
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range splitLines(string(text)) {{
		if len(line) > len(name) && line[:len(name)+1] == name+":" {{
			fmt.Sscan(line[len(name)+1:], &n)
		}}
	}}
	return n << 10
}}

func splitLines(s string) (lines []string) {{
	start := 0
	for i := range s {{
		if s[i] == '\\n' {{
			lines = append(lines, s[start:i])
			start = i + 1
		}}
	}}
	return lines
}}

// profile measures one profile: its time, and the memory that it needed and kept.
func profile() map[string]any {{
	before := status("RssAnon")
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the high-water mark starts anew
	resident := status("VmRSS")
	start := time.Now()
	err := cgoheap.WriteHeapProfile(io.Discard)
	return map[string]any{{
		"ms": float64(time.Since(start).Microseconds()) / 1000, "transient": status("VmHWM") - resident,
		"kept": status("RssAnon") - before, "err": err,
	}}
}}

func main() {{
	cgoheap.SetRate(1)
	for _, t := range tables {{
		for i, f := range t {{
			if len(os.Args) > i+1000 {{
				fmt.Println(f(i, os.Args[0], map[string]int{{}}))
			}}
		}}
	}}
	C.make(100)
	first := profile()
	second := profile()
	C.make_more(100)
	third := profile() // one new address in the program
	json.NewEncoder(os.Stdout).Encode(map[string]any{{"first": first, "second": second, "new_address": third}})
}}
"""


def main():
    folder, packages, repository = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for p in range(packages):
        place = folder / f"p{p}"
        place.mkdir(parents=True, exist_ok=True)
        parts = [f'package p{p}\n\nimport (\n\t"fmt"\n\t"sort"\n\t"strconv"\n\t"strings"\n)\n']
        for t in range(FUNCTIONS // 10):
            parts.append(TYPE.format(t=t))
        for n in range(FUNCTIONS):
            parts.append(FUNCTION.format(n=n, c=chr(97 + n % 26), k=n % 7 + 2, s=n % 5 + 1, t=n % (FUNCTIONS // 10)))
        table = ", ".join(f"f{n}" for n in range(FUNCTIONS))
        parts.append(f"\nvar Table = []func(int, string, map[string]int) (int, error){{{table}}}\n")
        (place / "p.go").write_text("".join(parts))
    imports = "\n".join(f'\t"big/p{p}"' for p in range(packages))
    tables = ", ".join(f"p{p}.Table" for p in range(packages))
    (folder / "main.go").write_text(MAIN.format(imports=imports, tables=tables))
    (folder / "go.mod").write_text(
        "module big\n\ngo 1.25\n\nrequire github.com/cgoheap/cgoheap v0.0.0\n\n"
        f"replace github.com/cgoheap/cgoheap => {repository}\n"
    )


main()
