"""A clip goes in, frames and sound come out; the clip is untrusted, so a child process reads it.

    decode.decode(path, request) -> Decoded        one clip
    decode.Decoder(limits)                         many clips through one child
    request.Request(frames, sound)                 what is wanted of a clip
    limits.Limits                                  what a clip may cost

Nothing is imported here: the child process loads this package and must start fast.
"""
