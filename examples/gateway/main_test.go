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
	// ben: {"chat":"garden","typing":"ada"}
	// ben: {"chat":"garden","from":"ada","text":"The tomatoes are ripe."}
	// ben, again: {"chat":"garden","from":"ada","text":"Who comes on Sunday?"}
}
