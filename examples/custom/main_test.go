package main

import (
	"context"
	"fmt"
	"os"
)

func Example() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ada asks: Who comes on Sunday? [I not I]
	// ben votes for answer 1
	// the same vote again is a conflict: true
}
