package chatcore

// Version is the release of this module, by semantic versioning. "core version" shows it, and the instrumentation of traces and metrics has it.
const Version = "0.2.0"
