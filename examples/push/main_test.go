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
	// dead letter: seq 3 of ada-dan, attempt 1: unknown device
	// to ben: "Lunch?", attempt 2
	// to dan: "Are you there?", attempt 2
}
