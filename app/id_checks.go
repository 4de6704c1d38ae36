package app

import "chatcore/domain"

// The ids of a command are checked before anything is loaded, so that bad input costs nothing and reaches no key.

func checkChat(chat domain.ChatID, users ...domain.UserID) error {
	if _, err := domain.ParseChatID(string(chat)); err != nil {
		return err
	}
	return checkUsers(users)
}

func checkUsers(users []domain.UserID) error {
	for _, user := range users {
		if _, err := domain.ParseUserID(string(user)); err != nil {
			return err
		}
	}
	return nil
}

func checkMessage(id domain.MessageID) error {
	_, err := domain.ParseMessageID(string(id))
	return err
}

// checkCommand allows none.
func checkCommand(id domain.CommandID) error {
	if id == "" {
		return nil
	}
	_, err := domain.ParseCommandID(string(id))
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
