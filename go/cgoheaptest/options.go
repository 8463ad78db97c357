package cgoheaptest

import (
	"fmt"
	"regexp"
	"time"
)

// Option changes what [VerifyNone] and [VerifyTestMain] accept. An option that makes no sense fails the test.
type Option interface {
	apply(*options) error
}

type options struct {
	ignored       []*regexp.Regexp
	bytes, blocks int64
	retry         time.Duration
}

// defaultRetry is enough for goroutines that are about to end; only a test that fails takes so long.
const defaultRetry = time.Second

func newOptions(list []Option) (*options, error) {
	o := &options{retry: defaultRetry}
	for _, option := range list {
		if option == nil {
			return nil, fmt.Errorf("an option is nil")
		}
		if err := option.apply(o); err != nil {
			return nil, err
		}
	}
	return o, nil
}

type optionFunc func(*options) error

func (f optionFunc) apply(o *options) error { return f(o) }

// IgnoreFunction accepts blocks with a function on their stack whose name matches the regular expression: for memory that
// is kept on purpose, such as pools and caches. C functions are matched as in the report (plain names, and C.x for
// calls from Go), Go functions with their import path, as github.com/user/module/package.(*Type).Method. The match is not
// anchored.
func IgnoreFunction(expression string) Option {
	return optionFunc(func(o *options) error {
		if expression == "" {
			return fmt.Errorf("IgnoreFunction: an empty expression matches every function")
		}
		compiled, err := regexp.Compile(expression)
		if err != nil {
			return fmt.Errorf("IgnoreFunction: %w", err)
		}
		o.ignored = append(o.ignored, compiled)
		return nil
	})
}

// AllowBytes accepts up to n bytes, over all stacks together.
func AllowBytes(n int64) Option {
	return optionFunc(func(o *options) error {
		if n <= 0 {
			return fmt.Errorf("AllowBytes(%d): must be greater than 0", n)
		}
		o.bytes = n
		return nil
	})
}

// AllowBlocks accepts up to n blocks, over all stacks together.
func AllowBlocks(n int64) Option {
	return optionFunc(func(o *options) error {
		if n <= 0 {
			return fmt.Errorf("AllowBlocks(%d): must be greater than 0", n)
		}
		o.blocks = n
		return nil
	})
}

// RetryFor sets how long memory that is live may take to be freed by other goroutines and threads: a second when it
// isn't given, and no time at all when it is 0. A test without leaks doesn't wait.
func RetryFor(d time.Duration) Option {
	return optionFunc(func(o *options) error {
		if d < 0 {
			return fmt.Errorf("RetryFor(%v): must not be negative", d)
		}
		o.retry = d
		return nil
	})
}

// allows says whether the leaks are within what was allowed. With both limits given, both hold.
func (o *options) allows(leaks []leak) bool {
	if o.bytes == 0 && o.blocks == 0 {
		return len(leaks) == 0
	}
	bytes, blocks := total(leaks)
	return (o.bytes == 0 || bytes <= o.bytes) && (o.blocks == 0 || blocks <= o.blocks)
}

// ignores says whether an IgnoreFunction option takes the stack.
func (o *options) ignores(l *leak) bool {
	for _, f := range l.stack {
		for _, expression := range o.ignored {
			if f.Function != "" && expression.MatchString(f.Function) {
				return true
			}
		}
	}
	return false
}
