"""Opens a media file: that file, and nothing that it or its name points to.

FFmpeg takes `10:15:30.mp4` for an address of the protocol `10`, and follows what playlists name, whatever the
file's extension: other files of this machine, other machines. So it gets absolute paths, may open files only,
and knows none of the formats that are lists of other files (HLS, DASH, ffconcat, SDP, numbered images, ...).
"""

from pathlib import Path

import av

# FFmpeg's names of the formats that hold their own pictures and sound. SubRip is among them for its message.
FORMATS = (
    "mov,matroska,avi,flv,live_flv,kux,asf,asf_o,mpeg,mpegts,mpegvideo,ogg,mxf,gxf,nut,nsv,rm,wtv,dv,swf,dxa,"
    "wav,w64,aiff,au,caf,mp3,aac,ac3,eac3,dts,dtshd,truehd,flac,amr,amrnb,amrwb,ape,tta,wv,tak,mpc,mpc8,voc,"
    "sox,gsm,loas,qcp,h261,h263,h264,hevc,vvc,av1,obu,ivf,m4v,cavsvideo,vc1,vc1test,avs2,mjpeg,mjpeg_2000,dirac,"
    "smk,bink,yuv4mpegpipe,gif,apng,ty,pva,pmp,ivr,r3d,film_cpk,4xm,srt"
)

UNKNOWN_FORMAT = "Format not on whitelist"  # FFmpeg's words

av.logging.set_level(av.logging.PANIC)


def name_file(path: Path | str) -> str:
    """The path as programs get it: no protocol, no option, whatever the file is called."""
    return str(Path(path).absolute())


def open_media(path: Path | str) -> "av.container.InputContainer":
    """Open a media file for reading.

    Raises:
        FFmpegError, OSError: it is no readable media file, or of none of the known `FORMATS`.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    return av.open(name_file(path), container_options=options, metadata_errors="replace")
