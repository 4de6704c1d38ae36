package effect

// OnceSource is the script that executes commands once.
var OnceSource = onceSource
