package wireformat_test

import (
	"encoding/json"
	"fmt"
	"log"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// Version 1 of a deletion named its actor "userId". The upcaster gives the field its present name: the code knows one shape only, and the log stays
// as it is.
func ExampleWithUpcaster() {
	codec := wireformat.New(wireformat.WithUpcaster(wireformat.TypeMessageDelete, 1, func(fields map[string]json.RawMessage) error {
		fields["deletedBy"] = fields["userId"]
		delete(fields, "userId")
		return nil
	}))
	old := `{"eventId":"e-1","type":"message:delete","timestamp":"2024-05-06T07:08:09.000Z","v":1,"seq":4,"ordinal":2,` +
		`"messageId":"m-1","chatId":"room-1","userId":"ada"}`
	record, err := codec.Decode([]byte(old))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(record.Event.(domain.MessageDelete).By, "deleted", record.Event.(domain.MessageDelete).Message)
	// Output: ada deleted m-1
}
