package main

import "os"

// reserveBytes is the size of the heap reserve. A smaller one saves little, a larger one costs as much memory as the rest of a small service.
const reserveBytes = 32 << 20

// heapReserve returns memory that core serve holds while it runs and never touches, so that it takes no room itself. The collector counts it as in use, and
// runs after that many bytes of garbage more. A GOGC of 400 would do the same for a small heap, but would let a large one grow to its fivefold.
// heapReserve returns nil if the user has set GOGC or GOMEMLIMIT.
func heapReserve() []byte {
	for _, setting := range []string{"GOGC", "GOMEMLIMIT"} {
		if os.Getenv(setting) != "" {
			return nil
		}
	}
	return make([]byte, reserveBytes)
}
