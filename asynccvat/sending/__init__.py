"""One annotation file on its way into one task, up to the request that has the server import it."""

from asynccvat.sending.asking import AnnotationUpload, ImportAccepted
from asynccvat.sending.file import FileToSend

__all__ = ["AnnotationUpload", "FileToSend", "ImportAccepted"]
