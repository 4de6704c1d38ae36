package session

import _ "embed"

var (
	//go:embed script/session_open.lua
	sessionOpenSource string
	//go:embed script/session_use.lua
	sessionUseSource string
	//go:embed script/session_list.lua
	sessionListSource string
	//go:embed script/session_close.lua
	sessionCloseSource string
)
