package cgoheap

import (
	"io"
	"strings"
	"testing"
)

func TestProfileFieldLooksAtNameAndType(t *testing.T) {
	if _, ok := profileField[func() int]("count"); !ok {
		t.Error("no field count: Go's pprof.Profile has changed")
	}
	if _, ok := profileField[func(io.Writer, int) error]("write"); !ok {
		t.Error("no field write: Go's pprof.Profile has changed")
	}
	if _, ok := profileField[func() int]("write"); ok {
		t.Error("a field of another type is accepted")
	}
	if _, ok := profileField[func() int]("missing"); ok {
		t.Error("a field that isn't there is accepted")
	}
}

func TestSecondRegistrationIsRefusedWithoutPanic(t *testing.T) {
	if problem := register(); !strings.Contains(problem, "another package") {
		t.Errorf("%q", problem)
	}
}
