package view

import _ "embed"

var (
	//go:embed script/view.lua
	viewSource string
	//go:embed script/fsck_view.lua
	fsckViewSource string
)
