package effect

import _ "embed"

//go:embed script/once.lua
var onceSource string
