package typing

import _ "embed"

var (
	//go:embed script/typing.lua
	typingSource string
	//go:embed script/typing_list.lua
	typingListSource string
)
