"""The procedural world: drawn talking people whose every attribute, mask and mouth is known exactly.

A prompt decides the scene, reference pictures decide who, speech decides the mouth. No torch here.
"""
