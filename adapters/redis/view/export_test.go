package view

// The scripts of a user's numbers.
var (
	PutSource  = viewSource
	FsckSource = fsckViewSource
)
