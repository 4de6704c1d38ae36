package logcopy

import (
	"context"
	"iter"
)

// ahead is the number of objects that are fetched and decoded at the same time for one reader.
const ahead = 4

// inOrder yields the results of do for 0 to n − 1, in order. Some calls of do run at the same time. Iteration stops at the first error.
func inOrder[T any](ctx context.Context, n int, do func(ctx context.Context, i int) (T, error)) iter.Seq2[T, error] {
	type result struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pending := make(chan chan result, ahead-1)
		go func() {
			defer close(pending)
			for i := range n {
				one := make(chan result, 1)
				select {
				case pending <- one:
				case <-ctx.Done():
					return
				}
				go func() {
					value, err := do(ctx, i)
					one <- result{value, err}
				}()
			}
		}()
		defer func() {
			cancel()
			for one := range pending {
				<-one
			}
		}()
		for range n {
			one, running := <-pending
			if !running {
				var zero T
				yield(zero, ctx.Err())
				return
			}
			if r := <-one; !yield(r.value, r.err) || r.err != nil {
				return
			}
		}
	}
}
