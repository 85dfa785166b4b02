package errcodes

// The shape {"error":{...}} that RunInfra, Runbase and OpenAI share. They differ in the
// members of the inner object, so each of their files names its own.

// appendErrorObject appends {"error":{"message":...}} with the members of slots.
func appendErrorObject(dst []byte, b *Body, slots Slot) []byte {
	dst = append(dst, `{"error":{`...)
	dst = appendMessage(dst, `,"message":"`, b.Message)
	if slots&SlotType != 0 {
		dst = appendMember(dst, `,"type":"`, b.Type)
	}
	if slots&SlotParam != 0 {
		dst = appendMember(dst, `,"param":"`, b.Param)
	}
	if slots&SlotCode != 0 {
		dst = appendMember(dst, `,"code":"`, b.Code)
	}
	return append(dst, "}}"...)
}

// decodeErrorObject reads {"error":{...}} with the members of slots; what else stands there is ignored.
func decodeErrorObject(data []byte, slots Slot) (Body, error) {
	var outer [1]string
	if _, err := open(data, []string{"error"}, outer[:]); err != nil {
		return Body{}, err
	}
	var in [4]string
	if !pick(outer[0], []string{"message", "type", "param", "code"}, in[:]) {
		return Body{}, ErrNotError
	}
	b := Body{Message: text(in[0], len(data))}
	if slots&SlotType != 0 {
		b.Type = text(in[1], len(data))
	}
	if slots&SlotParam != 0 {
		b.Param = text(in[2], len(data))
	}
	if slots&SlotCode != 0 {
		b.Code = text(in[3], len(data))
	}
	return b, nil
}
