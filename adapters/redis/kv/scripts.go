package kv

import _ "embed"

//go:embed script/count.lua
var countSource string
