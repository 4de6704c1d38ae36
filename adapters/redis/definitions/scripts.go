package definitions

import _ "embed"

var (
	//go:embed script/definition_read.lua
	readSource string
	//go:embed script/definition_change.lua
	changeSource string
)
