"""Another set of golden files, in other sizes and from other seeds: `python -m tests.support.humo_set DIR --seed 7`.

It is made by this project's own float32 code, so it says nothing about the reference. It shows that the tests that
read golden files take every size, seed and setting from them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model_runtime.humo import audio, pipeline, text, whisper
from model_runtime.humo import vae as video_vae
from model_runtime.humo.audio_projector import AudioProjector
from model_runtime.humo.conditioning import Conditioning, SlotConditioning, channel_conditioning
from model_runtime.humo.config import Family, TextConfig, TransformerConfig, VaeConfig
from model_runtime.humo.guidance import Branch, Scales, guidance
from model_runtime.humo.references import encode_references, to_tensor
from model_runtime.humo.rope import axis_angles, split
from model_runtime.humo.sampler import Sampler
from model_runtime.humo.transformer import HumoTransformer
from schemas.mode import Mode
from tests.support import humo as golden

FAMILIES = {"17B": Family.CHANNELS, "1_7B": Family.SLOTS}
RUNS = (("17B", Mode.TIA, 1), ("17B", Mode.TA, 0), ("1_7B", Mode.TIA, 1), ("1_7B", Mode.TIA, 2))
COPIED = ("text_clean.json", "negative_prompt.txt", "checkpoint_manifest_*.json")
BOUND = 3002


class Maker:
    """Draws every size from one seed, and every tensor too."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.channels = 2 * self.random.randint(3, 8)
        self.text_dim = 4 * self.random.randint(5, 12)
        self.text_len = self.random.randint(10, 30)
        self.emulated: dict[str, Tensor] = {}

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def randomise(self, model: nn.Module) -> None:
        """Matrices keep the size of what passes through them; nothing is left as it was initialised."""
        with torch.no_grad():
            for name, value in model.named_parameters():
                noise = self.draw(*value.shape)
                is_gain = not name.endswith((".bias", "modulation")) and (value.ndim == 1 or name.endswith("gamma"))
                value.copy_(1 + 0.1 * noise if is_gain else noise / max(1, value[0].numel()) ** 0.5)

    def save(self, name: str, tensors: dict[str, Tensor], **said: Any) -> None:
        metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
        whole = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
        save_file(whole, self.folder / f"{name}.safetensors", metadata)

    @torch.no_grad()
    def make(self) -> None:
        self.folder.mkdir(parents=True)
        for pattern in COPIED:
            for path in golden.folder().glob(pattern):
                shutil.copy(path, self.folder)
        self.vae_config, self.vae = self.make_vae()
        self.pictures = self.make_pictures()
        self.models = {size: self.make_transformer(size) for size in golden.SIZES}
        for size, mode, references in RUNS:
            self.make_run(size, mode, references)
        self.make_speech()
        self.make_whisper()
        self.make_text()
        self.make_guidance()
        self.make_sampler()

    def make_vae(self) -> tuple[dict[str, Any], Any]:
        config = {
            "dim": 2 * self.random.randint(2, 4),
            "z_dim": 16,
            "dim_mult": self.random.choice([[1, 2, 4, 4], [1, 2, 2, 4]]),
            "num_res_blocks": self.random.randint(1, 2),
            "temperal_downsample": [False, True, True],
        }
        widths = VaeConfig(
            dim=config["dim"], dim_mult=tuple(config["dim_mult"]), num_res_blocks=config["num_res_blocks"]
        )
        vae = video_vae.build_vae(widths)
        self.randomise(vae)
        state = vae.state_dict()
        published = {f"w.{video_vae.published_name(name, widths)}": state[name] for name in state}
        self.save("vae_tiny_weights", published, config=config)
        io = {"mean": torch.tensor(vae.config["latents_mean"]), "std": torch.tensor(vae.config["latents_std"])}
        for frames in (1, 5, 13):
            name, rows, columns = f"v{frames}", self.random.randint(2, 5), self.random.randint(2, 5)
            io[f"{name}.video"] = self.draw(3, frames, 8 * rows, 8 * columns).clamp(-1, 1)
            io[f"{name}.latents"] = video_vae.encode(vae, io[f"{name}.video"])
        io["z3.latents"] = self.draw(16, 3, 3, 2)
        for name in [key.removesuffix(".latents") for key in io if key.endswith(".latents")]:
            io[f"{name}.decoded_unclamped"] = torch.cat(list(video_vae.decode(vae, io[f"{name}.latents"])), dim=1)
            io[f"{name}.decoded"] = io[f"{name}.decoded_unclamped"].clamp(-1, 1)
        io["zero21.latents"] = video_vae.zero_latent(vae, latent_frames=6, rows=3, columns=5)
        self.save("vae_tiny_io", io, config=config)
        return config, vae

    def make_pictures(self) -> list[Image.Image]:
        self.width, self.height = (8 * 2 * self.random.randint(1, 4) for _ in range(2))
        tensors, pictures = {}, []
        for index in range(3):
            shape = (self.random.randint(20, 90), self.random.randint(20, 90), 3)
            pixels = torch.randint(0, 256, shape, generator=self.generator).to(torch.uint8)
            pictures.append(Image.fromarray(pixels.numpy()))
            tensors[f"pic{index}.rgb_u8"] = pixels
            tensors[f"pic{index}.boxed"] = to_tensor(pictures[-1], width=self.width, height=self.height)
        self.save("ref_image", tensors)
        return pictures

    def make_transformer(self, size: str) -> HumoTransformer:
        heads, family = self.random.randint(1, 5), FAMILIES[size]
        config = {
            "model_type": family.value,
            "in_dim": 36 if family is Family.CHANNELS else 16,
            "dim": heads * self.random.choice([12, 20, 24, 32]),
            "ffn_dim": 8 * self.random.randint(8, 30),
            "freq_dim": 2 * self.random.randint(8, 40),
            "text_dim": self.text_dim,
            "out_dim": 16,
            "num_heads": heads,
            "num_layers": self.random.randint(1, 4),
            "text_len": self.text_len,
            "eps": 1e-6,
        }
        speech = {
            "channels": self.channels,
            "intermediate_dim": self.random.randint(16, 40),
            "output_dim": 4 * self.random.randint(4, 16),
        }
        shape = TransformerConfig(
            **config,
            audio_channels=speech["channels"],
            audio_hidden=speech["intermediate_dim"],
            audio_dim=speech["output_dim"],
        )
        model = HumoTransformer.from_shape(shape).eval()
        self.randomise(model)
        half = HumoTransformer.from_shape(shape).eval()
        nn.Module.to(half, torch.bfloat16)
        half.load_state_dict({name: value.bfloat16() for name, value in model.state_dict().items()})
        said = {"config": config, "audio": speech}
        self.save(
            f"dit_tiny_{size}_weights", {f"w.{name}": value for name, value in model.state_dict().items()}, **said
        )
        positions = torch.arange(self.random.randint(8, 20))
        angles = torch.cat([axis_angles(part, positions) for part in split(shape.head_dim)], dim=1)
        io = {"rope.freqs_real": angles.cos(), "rope.freqs_imag": angles.sin()}
        for case in ("first", "second", "third")[: self.random.randint(2, 3)]:
            io.update(self.make_case(case, model))
        self.save(f"dit_tiny_{size}_io", io, **said)
        self.emulate(size, half, io)
        return model

    def make_case(self, case: str, model: HumoTransformer) -> dict[str, Tensor]:
        frames, references = self.random.randint(1, 4), self.random.randint(1, 3)
        grid = (2 * self.random.randint(1, 4), 2 * self.random.randint(1, 4))
        shape, slots = model.shape, frames + references
        speech = self.draw(frames, audio.WINDOW, shape.audio_bands, shape.audio_channels)
        io = {
            "latents": self.draw(16, slots, *grid),
            "ref_latents": self.draw(16, references, *grid),
            "context": self.draw(self.random.randint(2, shape.text_len), shape.text_dim),
            "context_null": self.draw(shape.text_len, shape.text_dim),
            "audio": audio.with_references(speech, references),
            "timestep": torch.tensor([self.random.randint(0, 999)]),
        }
        if shape.family is Family.CHANNELS:
            io["zero_vae"] = self.draw(16, slots + 1, *grid)
            made = channel_conditioning(io["ref_latents"], io["zero_vae"], slots=references, latent_frames=frames)
            assert made.present is not None
            io |= {"y_image": made.present, "y_null": made.absent}
        io = {f"{case}.{name}": value for name, value in io.items()}
        for branch in Branch:
            if branch is not Branch.I or shape.family is Family.CHANNELS:
                io[f"{case}.out.{branch}"] = model(**golden.given(io, case, branch, shape.family))[0]
        stages = golden.stages(model, golden.given(io, case, Branch.TIA, shape.family))
        return io | {f"{case}.tia.{name}": value for name, value in stages.items()}

    def emulate(self, size: str, half: HumoTransformer, io: dict[str, Tensor]) -> None:
        """Both sizes share one file."""
        for key in io:
            case, _, branch = key.partition(".out.")
            if branch:
                given = golden.given(io, case, Branch(branch), half.shape.family)
                self.emulated[f"{size}.{key}"] = half(**given)[0].float()
        self.save("dit_tiny_bf16_emulated", self.emulated)

    def make_run(self, size: str, mode: Mode, references: int) -> None:
        model, slots, frames = self.models[size], max(1, references), 4 * self.random.randint(1, 4) + 1
        latents, rows, columns = pipeline.latent_frames(frames), self.height // 8, self.width // 8
        scales = {"scale_a": self.random.uniform(2, 8), "scale_t": self.random.uniform(3, 8)}
        scales |= {"step_change": self.random.randint(600, 990)} if size == "17B" else {"scale_i": 3.5}
        steps, shift = self.random.randint(3, 7), self.random.choice([2.0, 3.5, 5.0, 8.0])
        io = {
            "noise": self.draw(16, latents + slots, rows, columns),
            "context": self.draw(self.random.randint(2, self.text_len), self.text_dim),
            "context_null": self.draw(self.text_len, self.text_dim),
            "audio_per_frame": self.draw(frames + self.random.randint(-2, 4), 5, self.channels),
        }
        if references:
            io["ref_latents"] = encode_references(
                self.vae, self.pictures[:references], width=self.width, height=self.height
            )
        conditioning: Conditioning = SlotConditioning(slots=slots, references=io.get("ref_latents"))
        if model.shape.family is Family.CHANNELS:
            io["zero_vae"] = video_vae.zero_latent(self.vae, latent_frames=latents + slots, rows=rows, columns=columns)
            conditioning = channel_conditioning(
                io.get("ref_latents"), io["zero_vae"], slots=slots, latent_frames=latents
            )
        sampler, states = Watched(steps=steps, shift=shift), list[Tensor]()
        final = pipeline.denoise(
            model,
            pipeline.Conditions(
                text=io["context"],
                negative=io["context_null"],
                speech=audio.with_references(audio.windows(io["audio_per_frame"], latents), slots),
                references=conditioning,
                slots=slots,
            ),
            io["noise"],
            sampler=sampler,
            plan=pipeline.Plan(
                family=model.shape.family,
                mode=mode,
                scales=Scales(
                    text=scales["scale_t"],
                    audio=scales["scale_a"],
                    image=scales.get("scale_i", 0),
                    switch=int(scales.get("step_change", 0)),
                ),
            ),
            on_step=lambda _, x: states.append(x),
        )
        io |= {
            "timesteps": torch.tensor(sampler.timesteps),
            "latents_per_step": torch.stack(states),
            "guided_pred_per_step": torch.stack(sampler.velocities),
            "final_latents": final,
            "video": torch.cat(list(video_vae.decode(self.vae, final)), dim=1).clamp(-1, 1),
        }
        said = {"mode": mode.value, "frames": frames, "steps": steps, "shift": shift, "scales": scales}
        self.save(f"e2e_tiny_{size}_{mode}_ref{references}", io, **said)

    def make_speech(self) -> None:
        states, channels, io = 4 * self.random.randint(2, 6) + 1, self.random.randint(3, 9), {}
        for case in ("one", "two", "three"):
            frames, latents = self.random.randint(9, 40), self.random.randint(2, 9)
            io[f"{case}.hidden_states"] = self.draw(1, 2 * frames, states, channels)
            io[f"{case}.per_frame"] = audio.per_frame(io[f"{case}.hidden_states"][0])
            io[f"{case}.windows"] = audio.windows(io[f"{case}.per_frame"], latents)
            index = audio.window_index(latents)
            heard = (index >= 0) & (index < io[f"{case}.per_frame"].shape[0])
            io[f"{case}.window_index"] = torch.where(heard, index, -1)
        for case in ("interp", "interp_odd"):
            io[f"{case}.in"] = self.draw(1, 2 * self.random.randint(10, 40) + (case == "interp_odd"), channels)
            io[f"{case}.out_25"] = audio.resample(io[f"{case}.in"][0])[None]
        io["ramp.windows"] = audio.windows(torch.arange(1.0, 14.0)[:, None, None], 4)[..., 0, 0]
        lost = [length for length in range(2, BOUND, 2) if audio.resampled_length(length) != length // 2]
        io[f"quirk.bad_even_lengths_below_{BOUND}"] = torch.tensor(lost)
        io["quirk.hidden_states"] = self.draw(1, lost[0], states, channels)
        io["quirk.per_frame"] = audio.per_frame(io["quirk.hidden_states"][0])
        shape = TransformerConfig(
            model_type="i2v",
            in_dim=1,
            dim=1,
            ffn_dim=1,
            num_heads=1,
            num_layers=0,
            audio_channels=channels,
            audio_hidden=self.random.randint(8, 30),
            audio_tokens=self.random.randint(3, 20),
            audio_dim=self.random.randint(8, 50),
        )
        projector = AudioProjector(shape)
        self.randomise(projector)
        io |= {f"proj.w.{name}": value for name, value in projector.state_dict().items()}
        io["proj.in"] = self.draw(1, self.random.randint(2, 9), shape.audio_window, shape.audio_bands, channels)
        io["proj.out"] = projector(io["proj.in"])
        self.save("audio_window", io)

    def make_whisper(self) -> None:
        width, bins, positions = 8 * self.random.randint(2, 5), self.random.randint(8, 24), self.random.randint(20, 70)
        config = {
            "num_mel_bins": bins,
            "d_model": width,
            "encoder_layers": self.random.randint(2, 5),
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 2 * width,
            "max_source_positions": positions,
        }
        encoder = WhisperEncoder(WhisperConfig(**config)).eval()
        self.randomise(encoder)
        mel, wav = self.draw(1, bins, 2 * positions), 0.1 * self.draw(16_000 * self.random.randint(1, 3))
        front = whisper.log_mel(WhisperFeatureExtractor(feature_size=80), wav.numpy().astype(np.float32))
        io = {f"w.{name}": value for name, value in encoder.state_dict().items()}
        io |= {"mel": mel, "hidden_states": whisper.hidden_states(encoder, mel), "frontend.wav": wav}
        io |= {"frontend.mel_first_250": front[..., :250], "frontend.mel_last_30": front[..., -30:]}
        self.save("whisper_tiny", io, config=config)

    def make_text(self) -> None:
        heads, count = self.random.randint(1, 5), self.random.randint(20, 90)
        config = {
            "vocab": self.random.randint(50, 200),
            "dim": 8 * self.random.randint(3, 8),
            "dim_attn": heads * 8 * self.random.randint(1, 3),
            "dim_ffn": 8 * self.random.randint(6, 20),
            "num_heads": heads,
            "num_layers": self.random.randint(1, 4),
            "num_buckets": self.random.choice([16, 32]),
        }
        encoder = text.build_encoder(TextConfig(**config))
        self.randomise(encoder)
        state = encoder.state_dict()
        named = {name: text.published_name(name) for name in state}
        io = {f"w.{published}": state[name] for name, published in named.items() if published}
        io["ids"] = torch.randint(2, config["vocab"], (3, count), generator=self.generator)
        real = torch.tensor([count, self.random.randint(2, count - 1), 2])
        io["mask"] = (torch.arange(count) < real[:, None]).long()
        io["output"] = encoder(input_ids=io["ids"], attention_mask=io["mask"]).last_hidden_state
        io["rel_pos"] = torch.arange(-count, count + 1)
        buckets = encoder.encoder.block[0].layer[0].SelfAttention
        io["rel_bucket"] = buckets._relative_position_bucket(io["rel_pos"])
        self.save("t5_tiny", io, config=config)

    def make_guidance(self) -> None:
        meta: dict[str, Any] = {
            "17B": {"scale_a": 4.5, "scale_t": 6.0, "step_change": 900, "late_text_reduction": 1.5},
            "1_7B": {"scale_a": 6.5, "scale_t": 5.5, "scale_i": 3.0},
        }
        scales = {
            "17B": Scales(text=6.0, audio=4.5, switch=900, late_reduction=1.5),
            "1_7B": Scales(text=5.5, audio=6.5, image=3.0),
        }
        io: dict[str, Tensor] = {}
        for steps in sorted(self.random.sample(range(5, 30), 2)):
            run, timesteps = f"s{steps}", Sampler(steps=steps, shift=3.0).timesteps
            io[f"{run}.timesteps"] = torch.tensor(timesteps)
            for branch in Branch:
                io[f"{run}.pred.{branch}"] = self.draw(steps, 16, 2, 3, 2)
            for size, family in FAMILIES.items():
                for mode in (Mode.TIA, Mode.TA):
                    chains = [guidance(family, mode, scales[size], t) for t in timesteps]
                    made = [
                        chain.combine({branch: io[f"{run}.pred.{branch}"][index] for branch in chain.branches})
                        for index, chain in enumerate(chains)
                    ]
                    io[f"{run}.{size}.{mode}"] = torch.stack(made)
                    meta[f"{size}.{mode}.branches"] = [*chains[0].branches]
                    if size == "17B" and mode is Mode.TIA:
                        asked = [[*chain.branches] for chain in chains]
                        meta[f"{run}.17B.TIA.branches"] = asked
                        first = next(index for index, branches in enumerate(asked) if Branch.NULL in branches)
                        meta[f"{run}.17B.first_step_with_null"] = first
        self.save("guidance", io, meta=meta)

    def make_sampler(self) -> None:
        io = {"toy.x0": self.draw(1, 16, 3, 2, 5)}
        shifts = self.random.sample([2.0, 3.0, 4.0, 6.0, 7.0], 2)
        for steps in (3, 9, 25):
            for shift in shifts:
                sampler = Sampler(steps=steps, shift=shift)
                io[f"sched.steps{steps}.shift{shift:g}.sigmas"] = sampler.sigmas
                io[f"sched.steps{steps}.shift{shift:g}.timesteps"] = torch.tensor(sampler.timesteps)
        for steps, every in ((1, 1), (3, 1), (7, 1), (24, 4)):
            sampler, states, velocities = Sampler(steps=steps, shift=shifts[0]), [io["toy.x0"]], []
            for timestep in sampler.timesteps:
                velocities.append(golden.toy_velocity(states[-1], timestep))
                states.append(sampler.step(velocities[-1], states[-1], timestep))
            io |= {f"toy.steps{steps}.states": torch.stack(states[::every]), f"toy.steps{steps}.final": states[-1]}
            if every == 1:
                io[f"toy.steps{steps}.velocities"] = torch.stack(velocities)
        self.save("sampler", io)


class Watched(Sampler):
    """Remembers the velocities that it was given."""

    def __init__(self, *, steps: int, shift: float) -> None:
        super().__init__(steps=steps, shift=shift)
        self.velocities: list[Tensor] = []

    def step(self, velocity: Tensor, latents: Tensor, timestep: int) -> Tensor:
        self.velocities.append(velocity)
        return super().step(velocity, latents, timestep)


def make_set(folder: Path, *, seed: int) -> None:
    """Write every golden file under its name into a new folder; the same seed gives the same sizes."""
    torch.set_num_threads(1)
    Maker(folder, seed).make()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    make_set(given.folder, seed=given.seed)
