// Package verdict says in one sentence what the memory of a process is doing: pure functions over the moments that package
// memory has kept.
//
//	verdict.go    the rules and their thresholds
//	trend.go      what growth is, and when it has stopped
//	words.go      what each verdict says
//	calls.go      growth by call: the innermost Go call that holds nearly all of it
//	details.go    what is known beside the moments: calls, mappings, and what can't be seen
package verdict
