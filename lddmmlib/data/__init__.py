"""Annotated faces: reading and writing their formats, checking folders of them, crops and augmentation."""
